"""The tie of soft parameter sharing: corresponding weights of the tasks' trunks shall be alike.

Source: Duong et al., "Low Resource Dependency Parsing" (2015).
"""

import torch
from torch import Tensor

from optimize.choice import Choice
from optimize.errors import RecipeError
from optimize.training.step import StepView, Term, TermContext
from optimize.training.tasks.soft_sharing import SoftSharing


class SoftSharingTie(Choice):
    """Σ ‖wᵗ − w̄‖² over the trunks' weights and the tasks t; for two tasks ½ ‖w¹ − w²‖²."""

    def build(self, context: TermContext) -> Term:
        """See ``TermChoice.build``."""
        if not isinstance(context.student, SoftSharing):
            raise RecipeError(
                "the term 'soft_sharing' ties a trunk for each task: it needs model.sharing = \"soft\" "
                "and data with several columns of labels"
            )
        return TieTerm()


class TieTerm(Term):
    """See ``SoftSharingTie``."""

    label = "soft_sharing"

    def forward(self, step: StepView) -> Tensor:
        """See ``Term.forward``."""
        if not isinstance(step.network, SoftSharing):
            raise TypeError(f"the network is a {type(step.network).__name__}, not SoftSharing")
        total = step.student.logits.new_zeros(())
        for row in step.network.corresponding():
            weights = torch.stack(row)
            total = total + (weights - weights.mean(0)).square().sum()
        return total
