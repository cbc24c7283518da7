"""Decoupled knowledge distillation.

The divergence of soft labels falls apart into two: how sure the teacher is of the true
class (TCKD), and how it ranks the others (NCKD), which is weighed by 1 − p, p the
teacher's probability of the true class. So the surer the teacher, the less its ranking
of the others counts; DKD gives that part a weight of its own.

Source: Zhao et al., "Decoupled Knowledge Distillation", 2022: KD = TCKD + (1 − p) NCKD.
"""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import one_hot

from optimize.choice import Choice
from optimize.errors import RecipeError
from optimize.training.losses.row_loss import is_labelled
from optimize.training.step import StepView, Term, TermContext
from optimize.training.terms.distillation import both_logits, teacher_of
from optimize.training.terms.soft_label import Temperature


class DecoupledDistillation(Choice):
    """alpha · TCKD + beta · NCKD, times T².

    Attributes:
        alpha: of what is said of the true class; the paper's 1.
        beta: of what is said of the others; the paper takes 8 on CIFAR-100 and 0.5 on ImageNet, and the surer
            the teacher the more.
        temperature: as in soft_label.
        warmup: share of the training over which the term grows from 0; the paper's 20 epochs of 240.
    """

    alpha: Annotated[float, Field(ge=0)] = 1.0
    beta: Annotated[float, Field(ge=0)] = 2.0
    temperature: Temperature = 4.0
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.08

    def build(self, context: TermContext) -> Term:
        """See ``TermChoice.build``."""
        teacher_of(context, "dkd")
        where = context.slices[0]
        if where.stop - where.start < 3:
            raise RecipeError("dkd ranks the classes beside the true one: with fewer than three take soft_label")
        return DecoupledTerm(self, where)


class DecoupledTerm(Term):
    """The true class is the row's largest; a picture without a label takes the teacher's word for it."""

    label = "dkd"
    wants_teacher = True

    def __init__(self, settings: DecoupledDistillation, where: slice) -> None:
        super().__init__()
        self.settings = settings
        self.where = where

    def forward(self, step: StepView) -> Tensor:
        """See ``Term.forward``."""
        student, teacher = both_logits(step, self.where, self.label)
        rows = step.targets[:, self.where].to(student.device)
        true = torch.where(is_labelled(rows), rows.argmax(dim=1), teacher.argmax(dim=1))
        target, others = decoupled(student, teacher, true, self.settings.temperature)
        value = (self.settings.alpha * target + self.settings.beta * others).mean() * self.settings.temperature**2
        return value * self._ramp(step.progress)

    def _ramp(self, progress: float) -> float:
        return min(progress / self.settings.warmup, 1.0) if self.settings.warmup else 1.0


def decoupled(student: Tensor, teacher: Tensor, true: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """The two parts, without T².

    Args:
        student: logits (N, classes), as is ``teacher``.
        true: (N,) the true classes.
    Returns:
        TCKD and NCKD, (N,) each.
    """
    is_true = one_hot(true, student.shape[1]).bool()
    ours, theirs = _parts(student / temperature, is_true), _parts(teacher / temperature, is_true)
    return _divergence(ours[0], theirs[0]), _divergence(ours[1], theirs[1])


def _parts(logits: Tensor, is_true: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probabilities: (N, 2) of the true class and of all others together; (N, classes) among the others."""
    others = logits.masked_fill(is_true, -torch.inf)
    mine = logits.masked_fill(~is_true, 0.0).sum(dim=1)
    together = torch.stack([mine, others.logsumexp(dim=1)], dim=1)
    return together.log_softmax(dim=1), others.log_softmax(dim=1)


def _divergence(ours: Tensor, theirs: Tensor) -> Tensor:
    """KL; where the teacher's probability is 0, nothing is added."""
    return (theirs.exp() * (theirs - ours).masked_fill(theirs == -torch.inf, 0.0)).sum(dim=1)
