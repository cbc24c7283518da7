"""``LabelTerm`` against torch's weighted mean."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from optimize.training.losses import LOSSES
from optimize.training.losses.label_term import LabelTerm
from optimize.training.step import Seen, StepView


def term(
    weights: Tensor | None = None, slices: tuple[slice, ...] = (slice(0, 4),), loss: str = "cross_entropy"
) -> LabelTerm:
    return LabelTerm(LOSSES.choose(loss), slices, weights, label="ce")


def batch(n: int = 12, classes: int = 4, seed: int = 0) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes, (n,), generator=draw)
    return torch.randn(n, classes, generator=draw, dtype=torch.float64), labels


WEIGHTS = torch.tensor([0.2, 1.0, 0.5, 2.3], dtype=torch.float64)


@pytest.mark.parametrize("weights", [None, WEIGHTS])
@given(seed=st.integers(0, 2**16))
def test_is_torchs_weighted_mean(weights: Tensor | None, seed: int) -> None:
    logits, labels = batch(seed=seed)
    expected = functional.cross_entropy(logits, labels, weight=weights)
    torch.testing.assert_close(term(weights).value(logits, functional.one_hot(labels, 4).double()), expected)


@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_pictures_without_a_label_do_not_count(weights: Tensor | None) -> None:
    logits, labels = batch()
    labels[[2, 7]] = -100  # what torch ignores
    rows = functional.one_hot(labels.clamp_min(0), 4).double()
    rows[[2, 7]] = 0
    expected = functional.cross_entropy(logits, labels, weight=weights)
    torch.testing.assert_close(term(weights).value(logits, rows), expected)


def test_a_mixed_row_has_the_weight_between() -> None:
    logits = torch.tensor([[1.0, 0.0, 0.0, 0.0], [0.0, 2.0, 0.0, 0.0]], dtype=torch.float64)
    rows = torch.tensor([[0.3, 0.7, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]], dtype=torch.float64)
    losses = functional.cross_entropy(logits, rows, reduction="none")
    first, second = 0.3 * 0.2 + 0.7 * 1.0, 2.3
    expected = (first * losses[0] + second * losses[1]) / (first + second)
    torch.testing.assert_close(term(WEIGHTS).value(logits, rows), expected)


def test_of_several_classes_at_once_the_weight_is_their_mean() -> None:
    logits = torch.zeros(2, 4, dtype=torch.float64)
    rows = torch.tensor([[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]], dtype=torch.float64)
    one = term(WEIGHTS, loss="binary_cross_entropy")
    torch.testing.assert_close(one._row_weights(rows, slice(0, 4)), torch.tensor([0.6, 2.3], dtype=torch.float64))
    assert one.value(logits, rows).item() == pytest.approx(4 * 0.6931471805599453)


def test_tasks_add_up_each_by_its_own_mean() -> None:
    first, first_labels = batch(classes=3)
    second, second_labels = batch(classes=2, seed=1)
    rows = torch.cat([functional.one_hot(first_labels, 3), functional.one_hot(second_labels, 2)], dim=1).double()
    rows[:9, 3:] = 0  # only three pictures have the second label
    both = term(slices=(slice(0, 3), slice(3, 5)))
    expected = functional.cross_entropy(first, first_labels) + functional.cross_entropy(second[9:], second_labels[9:])
    torch.testing.assert_close(both.value(torch.cat([first, second], dim=1), rows), expected)


def test_a_batch_without_any_label_gives_nothing() -> None:
    logits = torch.randn(3, 4, requires_grad=True)
    value = term(WEIGHTS.float()).value(logits, torch.zeros(3, 4))
    value.backward()
    assert value.item() == 0
    assert logits.grad is not None
    assert bool((logits.grad == 0).all())


def test_weights_move_with_the_term_and_are_not_saved() -> None:
    one = term(WEIGHTS)
    assert one.to(torch.float32).class_weights is not None
    assert one.class_weights is not None
    assert one.class_weights.dtype == torch.float32
    assert dict(one.state_dict()) == {}


def test_looks_at_the_step() -> None:
    logits, labels = batch()
    rows = functional.one_hot(labels, 4).double()
    step = StepView(
        pictures=torch.zeros(12, 1, 2, 2),
        indices=torch.arange(12),
        targets=rows,
        slices=(slice(0, 4),),
        student=Seen(logits),
        teacher=None,
        target_domain=None,
        network=torch.nn.Identity(),
        progress=0.0,
    )
    one = term()
    assert one(step) == one.value(logits, rows)
    assert one.label == "ce"
