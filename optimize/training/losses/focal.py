"""Focal loss: what is easy already counts for less."""

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import logsigmoid

from optimize.training.losses.row_loss import RowLoss


class Focal(RowLoss):
    """−Σ t (1 − p)^γ log p, p by softmax or by one sigmoid for each class; γ = 0 is cross-entropy.

    Source: Lin et al., "Focal Loss for Dense Object Detection", 2017.

    Attributes:
        gamma: how much easy pictures lose; the paper's 2.
        alpha: with "sigmoid" the weight of the true classes, 1 − alpha of the others (the paper's 0.25);
            with "softmax" a factor. None weighs all alike; ``class_weights`` weigh class by class.
        activation: "softmax" for one class among many, "sigmoid" as in the paper.
    """

    gamma: Annotated[float, Field(ge=0, le=10)] = 2.0
    alpha: Annotated[float, Field(gt=0, lt=1)] | None = None
    activation: Literal["softmax", "sigmoid"] = "softmax"

    def rows(self, logits: Tensor, targets: Tensor) -> Tensor:
        """See ``RowLoss.rows``."""
        if self.activation == "softmax":
            factor = 1.0 if self.alpha is None else self.alpha
            return factor * (targets * self._focal(logits.log_softmax(dim=1))).sum(dim=1)
        true, other = (1.0, 1.0) if self.alpha is None else (self.alpha, 1 - self.alpha)
        of_true = targets * self._focal(logsigmoid(logits))
        of_other = (1 - targets) * self._focal(logsigmoid(-logits))
        return (true * of_true + other * of_other).sum(dim=1)

    def _focal(self, log_p: Tensor) -> Tensor:
        """−(1 − p)^γ log p; 1 − p comes from log p, so that it is right next to p = 1 too."""
        missing = -torch.expm1(log_p)
        return -(missing.clamp_min(torch.finfo(log_p.dtype).tiny) ** self.gamma) * log_p
