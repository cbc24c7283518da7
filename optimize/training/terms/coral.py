"""CORAL: the target's features shall vary together as the source's do.

Source: Sun & Saenko, "Deep CORAL" (2016): ‖Cₛ − Cₜ‖² / 4d², of the covariances of d features.
"""

import torch
from torch import Tensor

from optimize.choice import Choice
from optimize.training.step import StepView, Term, TermContext
from optimize.training.terms.domain_features import both, tapped, width


class Coral(Choice):
    """The distance between the covariances of a source and a target batch.

    Attributes:
        feature: "pooled" for what enters the head, "logits", or a module's name.
        means: also the distance between the means, ‖μₛ − μₜ‖² / d; not in the paper, which takes the batch norms'
            word for it.
    """

    feature: str = "pooled"
    means: bool = False

    def build(self, context: TermContext) -> Term:
        """See ``TermChoice.build``."""
        width(self.feature, context)
        return CoralTerm(self)


class CoralTerm(Term):
    """See ``Coral``."""

    label = "coral"
    wants_target_domain = True

    def __init__(self, choice: Coral) -> None:
        super().__init__()
        self.choice = choice
        self.student_features = tapped(choice.feature)

    def forward(self, step: StepView) -> Tensor:
        """See ``Term.forward``."""
        source, target = both(self.choice.feature, step)
        distance = coral_distance(source, target)
        if self.choice.means:
            distance = distance + (source.mean(0) - target.mean(0)).square().mean()
        return distance


def coral_distance(source: Tensor, target: Tensor) -> Tensor:
    """(n, d) and (m, d) → ‖Cₛ − Cₜ‖² / 4d²; a batch of one picture has no covariance and counts as 0."""
    return (covariance(source) - covariance(target)).square().sum() / (4 * source.shape[1] ** 2)


def covariance(rows: Tensor) -> Tensor:
    """(n, d) → (d, d), unbiased."""
    centred = rows - rows.mean(0)
    return torch.mm(centred.T, centred) / max(len(rows) - 1, 1)
