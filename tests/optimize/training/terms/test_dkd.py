"""Decoupled distillation against the identity that it is made from, and the authors' formula in float64."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import rel_entr, softmax
from torch import Tensor

from optimize.errors import RecipeError
from optimize.training.step import Term
from optimize.training.terms import TERMS
from optimize.training.terms.dkd import decoupled
from optimize.training.terms.soft_label import softened_divergence
from tests.optimize.training.terms.steps import context, random_logits, step_of, student, teacher


def term(slices: tuple[slice, ...] = (slice(0, 4),), **settings: float) -> Term:
    return TERMS.choose("dkd", {"warmup": 0.0, **settings}).build(context(student(), teacher(), slices))


@given(seed=st.integers(0, 2**16), temperature=st.floats(0.2, 10), classes=st.integers(3, 9))
def test_the_parts_make_the_whole(seed: int, temperature: float, classes: int) -> None:
    """Zhao et al., equation 6: KD = TCKD + (1 − p) NCKD, p the teacher's probability of the true class."""
    ours, theirs = random_logits(classes=classes, seed=seed), random_logits(classes=classes, seed=seed + 1)
    true = torch.randint(classes, (6,), generator=torch.Generator().manual_seed(seed))
    target, others = decoupled(ours, theirs, true, temperature)
    p = (theirs / temperature).softmax(dim=1).gather(1, true[:, None])[:, 0]
    whole = softened_divergence(ours, theirs, temperature) / temperature**2
    torch.testing.assert_close(target + (1 - p) * others, whole, rtol=1e-9, atol=1e-12)
    assert bool((target >= -1e-12).all())
    assert bool((others >= -1e-12).all())


def test_is_the_papers_formula() -> None:
    ours, theirs = random_logits(seed=0), random_logits(seed=1)
    expected = 0.0
    for row, (z, v) in enumerate(zip(ours.numpy() / 2, theirs.numpy() / 2, strict=True)):
        true = row % 4
        q, p = softmax(z), softmax(v)
        two_q, two_p = [q[true], 1 - q[true]], [p[true], 1 - p[true]]
        rest_q, rest_p = softmax(np.delete(z, true)), softmax(np.delete(v, true))
        expected += 1.5 * rel_entr(two_p, two_q).sum() + 8 * rel_entr(rest_p, rest_q).sum()
    value = term(alpha=1.5, beta=8.0, temperature=2.0)(step_of(ours, theirs))
    assert value.item() == pytest.approx(4 * expected / 6, rel=1e-10)


def test_of_a_mixed_row_the_larger_share_is_the_true_class() -> None:
    ours, theirs = random_logits(n=1, seed=0), random_logits(n=1, seed=1)
    mixed = torch.tensor([[0.3, 0.0, 0.7, 0.0]])
    pure = torch.tensor([[0.0, 0.0, 1.0, 0.0]])
    assert term()(step_of(ours, theirs, targets=mixed)) == term()(step_of(ours, theirs, targets=pure))


def test_without_a_label_the_teacher_says_what_is_true() -> None:
    ours, theirs = random_logits(n=1, seed=0), random_logits(n=1, seed=1)
    said = torch.nn.functional.one_hot(theirs.argmax(dim=1), 4)
    assert term()(step_of(ours, theirs, targets=torch.zeros(1, 4))) == term()(step_of(ours, theirs, targets=said))


@pytest.mark.parametrize(("progress", "share"), [(0.0, 0.0), (0.05, 0.5), (0.1, 1.0), (1.0, 1.0)])
def test_grows_while_it_warms_up(progress: float, share: float) -> None:
    ours, theirs = random_logits(seed=0), random_logits(seed=1)
    whole = term()(step_of(ours, theirs)).item()
    assert term(warmup=0.1)(step_of(ours, theirs, progress=progress)).item() == pytest.approx(share * whole)


def test_gradients_are_right() -> None:
    theirs, one = random_logits(n=3, seed=1), term()
    ours = random_logits(n=3).requires_grad_()
    assert torch.autograd.gradcheck(lambda z: one(step_of(z, theirs)), (ours,))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_very_sure_networks_stay_finite(dtype: torch.dtype) -> None:
    ours: Tensor = torch.tensor([[3e4, 0.0, 0.0, -3e4], [0.0, 3e4, 0.0, 0.0]], dtype=dtype).requires_grad_()
    theirs = torch.tensor([[3e4, -3e4, 0.0, 0.0], [3e4, 0.0, 0.0, 0.0]], dtype=dtype)
    value = term(temperature=1.0)(step_of(ours, theirs))
    value.backward()
    assert ours.grad is not None
    assert bool(value.isfinite())
    assert bool(ours.grad.isfinite().all())


def test_two_classes_leave_nothing_to_rank() -> None:
    with pytest.raises(RecipeError, match="soft_label"):
        term(slices=(slice(0, 2),))
