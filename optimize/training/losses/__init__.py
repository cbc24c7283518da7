"""Losses on targets by name; nothing is imported until one is chosen.

Each takes logits (N, classes) and rows of probabilities (N, classes) and gives (N,);
a row of zeros has no label and gives 0. ``LabelTerm`` makes a summand of the
objective of one. Adding one: a ``RowLoss`` in a file here, and a line below;
``tests/optimize/training/losses`` holds every entry to its contract.
"""

from typing import TYPE_CHECKING

from optimize.choice import Table

if TYPE_CHECKING:
    from optimize.training.step import Loss

_HERE = "optimize.training.losses"

LOSSES: Table["Loss"] = Table(
    "loss",
    {
        "cross_entropy": f"{_HERE}.cross_entropy:CrossEntropy",
        "binary_cross_entropy": f"{_HERE}.binary_cross_entropy:BinaryCrossEntropy",
        "focal": f"{_HERE}.focal:Focal",
        "hinge": f"{_HERE}.hinge:Hinge",
        "mse": f"{_HERE}.probability_distance:MeanSquaredError",
        "huber": f"{_HERE}.probability_distance:Huber",
    },
)
