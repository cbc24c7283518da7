"""Multi-class hinge losses: no more is asked of a class than to lead by a margin."""

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import one_hot

from optimize.training.losses.row_loss import RowLoss


class Hinge(RowLoss):
    """How far a class fails to lead the others by ``margin``, expected over the row's probabilities.

    Attributes:
        margin: in logits.
        kind: "crammer_singer" looks at the strongest other class alone (Crammer and Singer, 2001);
            "weston_watkins" adds up all others (Weston and Watkins, 1999), on N × classes² numbers.
        squared: squares each failing.
    """

    margin: Annotated[float, Field(gt=0)] = 1.0
    kind: Literal["crammer_singer", "weston_watkins"] = "crammer_singer"
    squared: bool = False

    def rows(self, logits: Tensor, targets: Tensor) -> Tensor:
        """See ``RowLoss.rows``."""
        if self.kind == "crammer_singer":
            failing = self._failing(_strongest_other(logits) - logits)
        else:
            leads = logits.unsqueeze(1) - logits.unsqueeze(2)  # [n, c, j] = z_j − z_c
            own = torch.eye(logits.shape[1], dtype=torch.bool, device=logits.device)
            failing = self._failing(leads).masked_fill(own, 0.0).sum(dim=2)
        return (targets * failing).sum(dim=1)

    def _failing(self, behind: Tensor) -> Tensor:
        short = (behind + self.margin).clamp_min(0)
        return short.square() if self.squared else short


def _strongest_other(logits: Tensor) -> Tensor:
    """(N, classes) → (N, classes): at c the largest of all but c; of a tie, the other one."""
    if logits.shape[1] < 2:
        return logits.new_full(logits.shape, -float("inf"))
    values, places = logits.topk(2, dim=1)
    is_first = one_hot(places[:, 0], logits.shape[1]).bool()
    return values[:, 1:].where(is_first, values[:, :1])
