"""Structured channel pruning: a network with fewer channels in its layers, faster on every engine as it is.

Channels that meet (in a sum, a product, a depthwise convolution, a batch norm) must go together:
torch-pruning's dependency graph finds these groups (Fang et al., "DepGraph", 2023). A criterion
gives each channel of a group a score, a search finds how many must go for the multiply-adds that
are asked for, and the layers are cut. What comes out is an ordinary network, ``pruned:NAME``,
that is fine-tuned, taught, exported and quantised as any other.

A criterion is a ``Criterion`` in a file here and a line in ``CRITERIA``; nothing is imported until it is chosen.
"""

from typing import TYPE_CHECKING

from optimize.choice import Table

if TYPE_CHECKING:
    from optimize.pruning.criterion import Criterion

_HERE = "optimize.pruning"

CRITERIA: Table["Criterion"] = Table(
    "criterion",
    {
        "l1": f"{_HERE}.magnitude:L1",
        "l2": f"{_HERE}.magnitude:L2",
        "bn_scale": f"{_HERE}.batch_norm_scale:BatchNormScale",
        "taylor": f"{_HERE}.taylor:Taylor",
        "fpgm": f"{_HERE}.geometric_median:GeometricMedian",
        "random": f"{_HERE}.random_scores:RandomScores",
    },
)
