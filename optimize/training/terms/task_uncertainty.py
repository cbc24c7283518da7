"""Several tasks weighed by how uncertain each is, which is learnt.

Source: Kendall, Gal & Cipolla, "Multi-Task Learning Using Uncertainty to Weigh Losses"
(2018): Σ exp(−sₜ) Lₜ + sₜ / 2 with sₜ = log σₜ², as for classification there.
"""

from typing import Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from optimize.choice import Choice
from optimize.errors import RecipeError
from optimize.training.losses import LOSSES
from optimize.training.losses.label_term import LabelTerm
from optimize.training.losses.row_loss import is_labelled
from optimize.training.step import Loss, StepView, Term, TermContext

Setting = bool | int | float | str


class TaskUncertainty(Choice):
    """The tasks' losses, each over its learned variance; a recipe with it has no other loss unless it names one.

    Attributes:
        loss: an entry of ``LOSSES``.
        settings: of that loss.
    """

    loss: str = "cross_entropy"
    settings: dict[str, Setting] = Field(default={})

    @model_validator(mode="after")
    def _is_a_loss(self) -> Self:
        try:
            self.chosen()
        except RecipeError as error:
            raise ValueError(str(error)) from error
        return self

    def chosen(self) -> Loss:
        """The loss with its settings."""
        return LOSSES.choose(self.loss, dict(self.settings))

    def build(self, context: TermContext) -> Term:
        """See ``TermChoice.build``."""
        if len(context.slices) < 2:
            raise RecipeError("the term 'task_uncertainty' weighs tasks against each other, and there is one")
        return UncertaintyTerm(LabelTerm(self.chosen(), context.slices, context.class_weights))


class UncertaintyTerm(Term):
    """See ``TaskUncertainty``; ``log_variances``, (tasks,), train with the network."""

    label = "task_uncertainty"

    def __init__(self, labels: LabelTerm) -> None:
        super().__init__()
        self.labels = labels
        self.log_variances = nn.Parameter(torch.zeros(len(labels.slices)))

    def forward(self, step: StepView) -> Tensor:
        """See ``Term.forward``; a task that no picture of the batch is labelled for keeps out."""
        total = step.student.logits.new_zeros((), dtype=torch.float32)
        for log_variance, where in zip(self.log_variances, self.labels.slices, strict=True):
            loss = self.labels.of_task(step.student.logits, step.targets, where)
            weighed = torch.exp(-log_variance) * loss + log_variance / 2
            total = total + torch.where(is_labelled(step.targets[:, where]).any(), weighed, 0.0)
        return total
