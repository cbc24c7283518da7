"""Turned pictures."""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from optimize.training.augmentations.geometry import Bordered, Chance, Frame, happens, linear_maps, uniform
from optimize.training.step import Draw


class Rotate(Bordered):
    """Turn pictures about their centre.

    Attributes:
        degrees: the largest angle, either way.
        probability: the chance that a picture is turned.
    """

    degrees: Annotated[float, Field(gt=0, le=180)] = 15.0
    probability: Chance = 1.0

    def maps(self, count: int, frame: Frame, draw: Draw) -> Tensor:
        angle = torch.deg2rad(uniform(count, -self.degrees, self.degrees, draw))
        angle = angle * happens(count, self.probability, draw)
        return linear_maps(frame, angle.cos(), -angle.sin(), angle.sin(), angle.cos())
