"""Sigmoid cross-entropy: each class is a question of its own."""

from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from optimize.training.losses.row_loss import RowLoss, smoothed


class BinaryCrossEntropy(RowLoss):
    """−t log σ(z) − (1 − t) log(1 − σ(z)) of each class; rows may name several classes at once.

    As a loss for one class among many: Wightman et al., "ResNet strikes back", 2021.

    Attributes:
        smoothing: as in cross_entropy.
        over_classes: "sum" has gradients of cross-entropy's size, so that its learning rates fit; "mean" is
            PyTorch's, smaller by the number of classes.
    """

    smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    over_classes: Literal["sum", "mean"] = "sum"

    def rows(self, logits: Tensor, targets: Tensor) -> Tensor:
        """See ``RowLoss.rows``."""
        each = binary_cross_entropy_with_logits(logits, smoothed(targets, self.smoothing), reduction="none")
        return each.sum(dim=1) if self.over_classes == "sum" else each.mean(dim=1)
