"""A filter that is near all others of its layer can be made up for by them.

Source: He et al., "Filter Pruning via Geometric Median" (2019), FPGM.
"""

import torch
from torch import Tensor

from model_zoo.architectures.pruned import BatchNorm
from optimize.pruning.criterion import LayerCriterion, channel_rows
from optimize.pruning.groups import Part


class GeometricMedian(LayerCriterion):
    """The sum of a filter's Euclidean distances to the others that make the group's channels in its layer."""

    def of_part(self, part: Part) -> Tensor | None:
        """See ``LayerCriterion.of_part``."""
        if isinstance(part.layer, BatchNorm) or not part.outputs:
            return None
        filters = channel_rows(part, part.layer.weight).double()
        return torch.cdist(filters, filters, compute_mode="donot_use_mm_for_euclid_dist").sum(1)
