"""Softmax cross-entropy."""

from typing import Annotated

from pydantic import Field
from torch import Tensor

from optimize.training.losses.row_loss import RowLoss, smoothed


class CrossEntropy(RowLoss):
    """−Σ t log softmax(z).

    Attributes:
        smoothing: share of each target that is spread evenly over all classes (Szegedy et al., 2016).
    """

    smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0

    def rows(self, logits: Tensor, targets: Tensor) -> Tensor:
        """See ``RowLoss.rows``."""
        return -(smoothed(targets, self.smoothing) * logits.log_softmax(dim=1)).sum(dim=1)
