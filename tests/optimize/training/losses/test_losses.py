"""Every loss of the table, against torch's own and against formulas in float64."""

from collections.abc import Mapping
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from optimize.errors import RecipeError
from optimize.training.losses import LOSSES
from optimize.training.step import Loss

# Every kind of every loss.
VARIANTS: list[tuple[str, dict[str, object]]] = [
    *((name, {}) for name in LOSSES),
    ("cross_entropy", {"smoothing": 0.1}),
    ("binary_cross_entropy", {"smoothing": 0.1, "over_classes": "mean"}),
    ("focal", {"gamma": 0.5, "alpha": 0.25}),
    ("focal", {"activation": "sigmoid", "alpha": 0.25}),
    *(
        ("hinge", {"kind": kind, "squared": squared, "margin": 0.7})
        for kind, squared in product(("crammer_singer", "weston_watkins"), (False, True))
    ),
    ("huber", {"delta": 0.1}),
]
IDS = [f"{name}{settings or ''}" for name, settings in VARIANTS]


def logits_and_rows(n: int = 16, classes: int = 5, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """float64 logits, one-hot rows and their labels."""
    draw = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(n, classes, generator=draw, dtype=torch.float64)
    labels = torch.randint(classes, (n,), generator=draw)
    return logits, functional.one_hot(labels, classes).double(), labels


def soft_rows(n: int = 16, classes: int = 5, seed: int = 1) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.rand(n, classes, generator=draw, dtype=torch.float64).softmax(dim=1)


def loss_of(variant: tuple[str, Mapping[str, object]]) -> Loss:
    return LOSSES.choose(*variant)


@pytest.mark.parametrize("variant", VARIANTS, ids=IDS)
class TestEveryLoss:
    def test_one_number_for_each_picture(self, variant: tuple[str, dict[str, object]]) -> None:
        logits, rows, _ = logits_and_rows()
        values = loss_of(variant)(logits, rows)
        assert values.shape == (16,)
        assert bool((values >= 0).all())
        assert bool(values.isfinite().all())

    def test_no_label_is_no_loss_and_no_gradient(self, variant: tuple[str, dict[str, object]]) -> None:
        logits, rows, _ = logits_and_rows()
        rows[3] = 0
        logits.requires_grad_()
        values = loss_of(variant)(logits, rows)
        values.sum().backward()
        assert values[3] == 0
        assert logits.grad is not None
        assert bool((logits.grad[3] == 0).all())
        assert bool((logits.grad[[0, 1, 2]] != 0).any())

    def test_pictures_do_not_touch_each_other(self, variant: tuple[str, dict[str, object]]) -> None:
        logits, rows = logits_and_rows()[0], soft_rows()
        loss = loss_of(variant)
        alone = torch.cat([loss(logits[i : i + 1], rows[i : i + 1]) for i in range(16)])
        torch.testing.assert_close(loss(logits, rows), alone, rtol=1e-12, atol=0)

    def test_gradients_are_right(self, variant: tuple[str, dict[str, object]]) -> None:
        loss = loss_of(variant)
        logits, rows = logits_and_rows(n=4)[0].requires_grad_(), soft_rows(n=4)
        assert torch.autograd.gradcheck(lambda z: loss(z, rows), (logits,))

    @pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16])
    def test_half_precision_is_computed_in_float32(
        self, variant: tuple[str, dict[str, object]], precision: torch.dtype
    ) -> None:
        loss = loss_of(variant)
        logits, rows = logits_and_rows(n=8, classes=100)[0].to(precision), soft_rows(n=8, classes=100).float()
        values = loss(logits, rows)
        assert values.dtype == torch.float32
        torch.testing.assert_close(values.double(), loss(logits.double(), rows.double()), rtol=1e-5, atol=1e-6)

    @pytest.mark.parametrize("scale", [1e3, -1e3, 3e4])
    def test_extreme_logits_stay_finite(self, variant: tuple[str, dict[str, object]], scale: float) -> None:
        logits = torch.tensor([[scale, 0.0, -scale], [0.0, 0.0, 0.0], [scale, scale, scale]]).half().requires_grad_()
        values = loss_of(variant)(logits, torch.eye(3))
        values.sum().backward()
        assert logits.grad is not None
        assert bool(values.isfinite().all())
        assert bool(logits.grad.isfinite().all())

    def test_a_step_against_the_gradient_helps(self, variant: tuple[str, dict[str, object]]) -> None:
        loss = loss_of(variant)
        logits, rows, _ = logits_and_rows()
        logits.requires_grad_()
        before = loss(logits, rows).sum()
        before.backward()
        assert logits.grad is not None
        assert loss(logits - 1e-4 * logits.grad, rows).sum() < before


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_cross_entropy_is_torchs(smoothing: float) -> None:
    logits, _, labels = logits_and_rows()
    ours = LOSSES.choose("cross_entropy", {"smoothing": smoothing})
    rows = soft_rows()
    one_hot = functional.one_hot(labels, 5).double()
    expected = functional.cross_entropy(logits, labels, label_smoothing=smoothing, reduction="none")
    torch.testing.assert_close(ours(logits, one_hot), expected)
    torch.testing.assert_close(
        ours(logits, rows), functional.cross_entropy(logits, rows, label_smoothing=smoothing, reduction="none")
    )


def test_binary_cross_entropy_is_torchs() -> None:
    logits, rows, _ = logits_and_rows()
    each = functional.binary_cross_entropy_with_logits(logits, rows, reduction="none")
    torch.testing.assert_close(LOSSES.choose("binary_cross_entropy")(logits, rows), each.sum(dim=1))
    mean = LOSSES.choose("binary_cross_entropy", {"over_classes": "mean"})
    torch.testing.assert_close(mean(logits, rows), each.mean(dim=1))


def test_binary_cross_entropy_takes_several_classes_at_once() -> None:
    logits = torch.tensor([[2.0, -1.0, 0.5]], dtype=torch.float64)
    p = 1 / (1 + np.exp(-logits.numpy()[0]))
    expected = -np.log(p[0]) - np.log(1 - p[1]) - np.log(p[2])
    value = LOSSES.choose("binary_cross_entropy")(logits, torch.tensor([[1.0, 0.0, 1.0]]))
    assert value.item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("gamma", "alpha"), [(2.0, None), (0.5, None), (2.0, 0.25)])
def test_focal_is_the_papers_formula(gamma: float, alpha: float | None) -> None:
    logits, rows, labels = logits_and_rows()
    p = np.exp(logits.numpy()) / np.exp(logits.numpy()).sum(axis=1, keepdims=True)
    p_true = p[np.arange(16), labels.numpy()]
    expected = -(alpha or 1.0) * (1 - p_true) ** gamma * np.log(p_true)
    ours = LOSSES.choose("focal", {"gamma": gamma, "alpha": alpha})
    np.testing.assert_allclose(ours(logits, rows).numpy(), expected, rtol=1e-10)


def test_sigmoid_focal_is_the_papers_formula() -> None:
    logits, rows, _ = logits_and_rows()
    z, t = logits.numpy(), rows.numpy()
    p = 1 / (1 + np.exp(-z))
    p_true, weight = np.where(t == 1, p, 1 - p), np.where(t == 1, 0.25, 0.75)
    expected = (-weight * (1 - p_true) ** 2 * np.log(p_true)).sum(axis=1)
    ours = LOSSES.choose("focal", {"activation": "sigmoid", "alpha": 0.25})
    np.testing.assert_allclose(ours(logits, rows).numpy(), expected, rtol=1e-10)


def test_focal_without_focus_is_cross_entropy() -> None:
    logits, rows = logits_and_rows()[0], soft_rows()
    torch.testing.assert_close(
        LOSSES.choose("focal", {"gamma": 0.0})(logits, rows), LOSSES.choose("cross_entropy")(logits, rows)
    )


@pytest.mark.parametrize("squared", [False, True])
def test_weston_watkins_is_torchs_margin_loss(squared: bool) -> None:
    logits, rows, labels = logits_and_rows()
    expected = functional.multi_margin_loss(logits, labels, p=2 if squared else 1, margin=0.7, reduction="none")
    ours = LOSSES.choose("hinge", {"kind": "weston_watkins", "squared": squared, "margin": 0.7})
    torch.testing.assert_close(ours(logits, rows), expected * 5)  # torch divides by the classes


@pytest.mark.parametrize("squared", [False, True])
def test_crammer_singer_is_its_formula(squared: bool) -> None:
    logits, rows, labels = logits_and_rows()
    expected = []
    for z, label in zip(logits.numpy(), labels.numpy(), strict=True):
        short = max(0.0, 1 + max(np.delete(z, label)) - z[label])
        expected.append(short**2 if squared else short)
    ours = LOSSES.choose("hinge", {"squared": squared})
    np.testing.assert_allclose(ours(logits, rows).numpy(), expected, rtol=1e-12)


def test_a_tie_is_one_margin_short() -> None:
    value = LOSSES.choose("hinge")(torch.tensor([[2.0, 2.0, 0.0]]), torch.eye(3)[:1])
    assert value.item() == 1.0


def test_squared_error_is_briers_score() -> None:
    logits, rows = logits_and_rows()[0], soft_rows()
    p = np.exp(logits.numpy()) / np.exp(logits.numpy()).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(LOSSES.choose("mse")(logits, rows).numpy(), ((p - rows.numpy()) ** 2).sum(1), rtol=1e-10)


def test_huber_is_half_the_square_near_and_linear_far() -> None:
    logits, rows, _ = logits_and_rows()
    p = np.exp(logits.numpy()) / np.exp(logits.numpy()).sum(axis=1, keepdims=True)
    d = np.abs(p - rows.numpy())
    expected = np.where(d <= 0.1, d**2 / 2, 0.1 * (d - 0.05)).sum(axis=1)
    np.testing.assert_allclose(LOSSES.choose("huber", {"delta": 0.1})(logits, rows).numpy(), expected, rtol=1e-10)


@pytest.mark.parametrize("name", ["cross_entropy", "focal", "hinge", "mse"])
@given(seed=st.integers(0, 2**16), shift=st.floats(-50, 50))
def test_adding_to_all_logits_changes_nothing(name: str, seed: int, shift: float) -> None:
    logits, rows = logits_and_rows(seed=seed)[0], soft_rows(seed=seed)
    loss = LOSSES.choose(name)
    torch.testing.assert_close(loss(logits + shift, rows), loss(logits, rows), rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("variant", VARIANTS, ids=IDS)
@given(seed=st.integers(0, 2**16))
def test_the_order_of_the_classes_does_not_matter(variant: tuple[str, dict[str, object]], seed: int) -> None:
    logits, rows = logits_and_rows(seed=seed)[0], soft_rows(seed=seed)
    order = torch.randperm(5, generator=torch.Generator().manual_seed(seed))
    loss = loss_of(variant)
    torch.testing.assert_close(loss(logits[:, order], rows[:, order]), loss(logits, rows))


@pytest.mark.parametrize("name", ["cross_entropy", "binary_cross_entropy", "focal", "hinge"])
@given(seed=st.integers(0, 2**16), share=st.floats(0, 1))
def test_a_mixed_row_costs_between_its_two(name: str, seed: int, share: float) -> None:
    """Mixup may blend rows or losses: it is the same for losses that are linear in the row."""
    logits, rows, _ = logits_and_rows(seed=seed)
    loss = LOSSES.choose(name)
    other = rows.flip(0)
    mixed = share * loss(logits, rows) + (1 - share) * loss(logits, other)
    torch.testing.assert_close(loss(logits, share * rows + (1 - share) * other), mixed)


def test_settings_are_strict() -> None:
    with pytest.raises(RecipeError, match="did you mean 'smoothing'"):
        LOSSES.choose("cross_entropy", {"smothing": 0.1})
    with pytest.raises(RecipeError, match="less than 1"):
        LOSSES.choose("cross_entropy", {"smoothing": 1.0})
    with pytest.raises(RecipeError, match="did you mean 'focal'"):
        LOSSES.choose("vocal")
