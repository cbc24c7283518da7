"""Channels with small weights matter little."""

from typing import ClassVar

import torch
from torch import Tensor

from model_zoo.architectures.pruned import BatchNorm
from optimize.pruning.criterion import LayerCriterion, channel_rows
from optimize.pruning.groups import Part


class _Magnitude(LayerCriterion):
    """The norm of all weights that a channel has in a layer, whether they make it or read it."""

    order: ClassVar[int]

    def of_part(self, part: Part) -> Tensor | None:
        """See ``LayerCriterion.of_part``."""
        if isinstance(part.layer, BatchNorm):
            return None
        rows = channel_rows(part, part.layer.weight)
        norms: Tensor = torch.linalg.vector_norm(rows.double(), self.order, dim=1)
        return norms


class L1(_Magnitude):
    """Sum of the absolute weights (Li et al., "Pruning Filters for Efficient ConvNets", 2017)."""

    order = 1


class L2(_Magnitude):
    """Root of the sum of their squares."""

    order = 2
