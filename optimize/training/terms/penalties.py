"""Penalties on the size of the weights: of convolutions and linear layers alone, norms and biases are left out.

In the loss, so that they are the same for every optimiser and show in the logs. Decay
that does not pass through the gradient (AdamW's) is the optimiser's ``weight_decay``.
Frozen weights count for nothing.
"""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from optimize.choice import Choice
from optimize.training.losses.row_loss import widened
from optimize.training.step import StepView, Term, TermContext


class L1(Choice):
    """Σ |w|: draws weights to exactly 0 (Tibshirani's lasso, 1996). A usual ``weight`` is 1e-6 to 1e-4."""

    def build(self, context: TermContext) -> Term:
        """See ``TermChoice.build``."""
        return PenaltyTerm("l1", context.student, l1=1.0, l2=0.0)


class L2(Choice):
    """½ Σ w² (ridge; Hoerl and Kennard, 1970): with plain SGD, its ``weight`` is the weight decay."""

    def build(self, context: TermContext) -> Term:
        """See ``TermChoice.build``."""
        return PenaltyTerm("l2", context.student, l1=0.0, l2=1.0)


class ElasticNet(Choice):
    """ratio · Σ |w| + (1 − ratio) · ½ Σ w², as scikit-learn writes it (Zou and Hastie, 2005).

    Attributes:
        l1_ratio: 0 is l2, 1 is l1.
    """

    l1_ratio: Annotated[float, Field(ge=0, le=1)] = 0.5

    def build(self, context: TermContext) -> Term:
        """See ``TermChoice.build``."""
        return PenaltyTerm("elastic_net", context.student, l1=self.l1_ratio, l2=1 - self.l1_ratio)


class PenaltyTerm(Term):
    """l1 · Σ |w| + l2 · ½ Σ w² over the weights that train."""

    def __init__(self, label: str, student: nn.Module, *, l1: float, l2: float) -> None:
        super().__init__()
        self.label = label
        self.l1 = l1
        self.l2 = l2
        self._weights = penalised(student)  # a tuple: the parameters stay the student's

    def forward(self, step: StepView) -> Tensor:
        """See ``Term.forward``."""
        weights = [widened(weight) for weight in self._weights if weight.requires_grad]
        total = step.student.logits.new_zeros((), dtype=torch.float32)
        if not weights:
            return total
        if self.l1:
            total = total + self.l1 * torch.stack(torch._foreach_norm(weights, 1)).sum()
        if self.l2:
            total = total + self.l2 / 2 * torch.stack(torch._foreach_norm(weights, 2)).square().sum()
        return total


def penalised(network: nn.Module) -> tuple[nn.Parameter, ...]:
    """The weights: parameters of two dimensions or more. Scales, shifts and biases have one."""
    return tuple(parameter for parameter in network.parameters() if parameter.ndim > 1)
