"""Pictures without colour."""

from torch import Tensor

from optimize.training.augmentations import colour
from optimize.training.augmentations.geometry import Chance, happens
from optimize.training.step import Draw


class Grey(colour.Chromatic):
    """Take the colour out of some pictures; they keep their three channels.

    Attributes:
        probability: the chance for each picture.
    """

    probability: Chance = 0.2

    def mixing(self, count: int, draw: Draw) -> tuple[Tensor, Tensor]:
        return colour.saturation(1 - happens(count, self.probability, draw).double())
