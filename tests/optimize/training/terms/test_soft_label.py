"""Soft labels against the formula in float64 and Hinton's limit."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import rel_entr, softmax
from torch import Tensor

from optimize.errors import TrainingError
from optimize.training.step import Term
from optimize.training.terms import TERMS
from optimize.training.terms.soft_label import softened_divergence
from tests.optimize.training.terms.steps import context, random_logits, step_of, student, teacher


def term(temperature: float = 4.0, slices: tuple[slice, ...] = (slice(0, 4),)) -> Term:
    return TERMS.choose("soft_label", {"temperature": temperature}).build(context(student(), teacher(), slices))


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_is_the_divergence_of_softened_rows(temperature: float) -> None:
    ours, theirs = random_logits(seed=0), random_logits(seed=1)
    p, q = softmax(theirs.numpy() / temperature, axis=1), softmax(ours.numpy() / temperature, axis=1)
    expected = temperature**2 * rel_entr(p, q).sum(axis=1).mean()
    assert term(temperature)(step_of(ours, theirs)).item() == pytest.approx(expected, rel=1e-10)


def test_gradients_keep_their_size_when_it_is_hot() -> None:
    """Hinton et al., section 2.1: far above the logits, T² times the gradient tends to (z − v) / classes."""
    ours, theirs = random_logits(seed=0).requires_grad_(), random_logits(seed=1)
    softened_divergence(ours, theirs, 1e4).sum().backward()
    assert ours.grad is not None
    z, v = ours.detach() - ours.detach().mean(1, keepdim=True), theirs - theirs.mean(1, keepdim=True)
    torch.testing.assert_close(ours.grad, (z - v) / 4, rtol=0, atol=1e-3)


@given(seed=st.integers(0, 2**16), temperature=st.floats(0.1, 20), shift=st.floats(-30, 30))
def test_a_student_that_says_the_same_has_learnt(seed: int, temperature: float, shift: float) -> None:
    logits = random_logits(seed=seed)
    same = term(temperature)(step_of(logits + shift, logits)).item()
    other = term(temperature)(step_of(random_logits(seed=seed + 1), logits)).item()
    assert same == pytest.approx(0, abs=1e-9)
    assert other > 0


def test_gradients_are_right() -> None:
    theirs = random_logits(seed=1)
    one = term()
    ours = random_logits(n=3).requires_grad_()
    assert torch.autograd.gradcheck(lambda z: one(step_of(z, theirs[:3])), (ours,))


@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16])
def test_half_precision_is_widened(precision: torch.dtype) -> None:
    ours, theirs = random_logits().to(precision), random_logits(seed=1).to(precision)
    value = term()(step_of(ours, theirs))
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(term()(step_of(ours.double(), theirs.double())).item(), rel=1e-5)


def test_with_several_tasks_the_teacher_knows_the_first() -> None:
    theirs = random_logits(seed=1)
    first, second = random_logits(seed=0), random_logits(seed=2, classes=3)
    both: Tensor = torch.cat([first, second], dim=1)
    one = term(slices=(slice(0, 4), slice(4, 7)))
    assert one(step_of(both, theirs)).item() == term()(step_of(first, theirs)).item()


def test_a_step_without_a_teachers_view_is_an_error() -> None:
    with pytest.raises(TrainingError, match="without the teacher's view"):
        term()(step_of(random_logits()))


def test_a_sure_teacher_is_finite() -> None:
    theirs = torch.tensor([[1e4, 0.0, 0.0, -1e4]])
    value = term(1.0)(step_of(torch.tensor([[-1e4, 0.0, 0.0, 1e4]], requires_grad=True), theirs))
    assert np.isfinite(value.item())
