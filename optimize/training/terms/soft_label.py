"""Distillation by soft labels."""

from typing import Annotated

from pydantic import Field
from torch import Tensor
from torch.nn.functional import kl_div

from optimize.choice import Choice
from optimize.training.step import StepView, Term, TermContext
from optimize.training.terms.distillation import both_logits, teacher_of

Temperature = Annotated[float, Field(gt=0, le=100)]


class SoftLabel(Choice):
    """The student is to give the teacher's probabilities, both softened by a temperature.

    Source: Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network", 2015. A usual sum
    is cross_entropy with weight 0.1 and this with 0.9.

    Attributes:
        temperature: logits are divided by it; the term is multiplied by its square, which keeps the gradients' size.
    """

    temperature: Temperature = 4.0

    def build(self, context: TermContext) -> Term:
        """See ``TermChoice.build``."""
        teacher_of(context, "soft_label")
        return SoftLabelTerm(self.temperature, context.slices[0])


class SoftLabelTerm(Term):
    """T² · KL(teacher at T ‖ student at T), the batch's mean."""

    label = "soft_label"
    wants_teacher = True

    def __init__(self, temperature: float, where: slice) -> None:
        super().__init__()
        self.temperature = temperature
        self.where = where

    def forward(self, step: StepView) -> Tensor:
        """See ``Term.forward``."""
        student, teacher = both_logits(step, self.where, self.label)
        return softened_divergence(student, teacher, self.temperature).mean()


def softened_divergence(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """T² · KL(softmax(teacher / T) ‖ softmax(student / T)); logits (N, classes) → (N,)."""
    ours = (student / temperature).log_softmax(dim=1)
    theirs = (teacher / temperature).log_softmax(dim=1)
    return kl_div(ours, theirs, reduction="none", log_target=True).sum(dim=1) * temperature**2
