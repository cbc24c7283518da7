"""Distances between the softmax and the row: bounded, so that a wrong label can do only so much."""

from typing import Annotated

from pydantic import Field
from torch import Tensor
from torch.nn.functional import huber_loss

from optimize.training.losses.row_loss import RowLoss


class MeanSquaredError(RowLoss):
    """Σ (softmax(z) − t)² over the classes: Brier's score (1950), 0 to 2."""

    def rows(self, logits: Tensor, targets: Tensor) -> Tensor:
        """See ``RowLoss.rows``."""
        return (logits.softmax(dim=1) - targets).square().sum(dim=1)


class Huber(RowLoss):
    """Huber's loss (1964) of softmax(z) − t, summed over the classes: ½ d² near, linear from ``delta`` on.

    Attributes:
        delta: where it turns linear; probabilities differ by 1 at most.
    """

    delta: Annotated[float, Field(gt=0, le=1)] = 0.25

    def rows(self, logits: Tensor, targets: Tensor) -> Tensor:
        """See ``RowLoss.rows``."""
        return huber_loss(logits.softmax(dim=1), targets, reduction="none", delta=self.delta).sum(dim=1)
