"""Channels that a batch norm scales down matter little.

Source: Liu et al., "Learning Efficient Convolutional Networks through Network Slimming" (2017). They
train with a penalty on the scales and compare these between layers as they are; without that penalty
whole layers would go, so here scales are brought to a mean of 1 in each layer.
"""

from torch import Tensor

from model_zoo.architectures.pruned import BatchNorm
from optimize.pruning.criterion import LayerCriterion
from optimize.pruning.groups import Part


class BatchNormScale(LayerCriterion):
    """|γ|; channels that pass no batch norm stay."""

    def of_part(self, part: Part) -> Tensor | None:
        """See ``LayerCriterion.of_part``."""
        if not isinstance(part.layer, BatchNorm) or not part.layer.affine:
            return None
        return part.layer.weight.abs()[part.positions.to(part.layer.weight.device)]
