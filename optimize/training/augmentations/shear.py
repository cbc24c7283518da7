"""Slanted pictures."""

from typing import Annotated, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from optimize.training.augmentations.geometry import Bordered, Chance, Frame, happens, linear_maps, uniform
from optimize.training.step import Draw

Angle = Annotated[float, Field(ge=0, le=60)]


class Shear(Bordered):
    """Slant pictures about their centre.

    Attributes:
        horizontal: the largest angle in degrees by which upright lines lean, either way.
        vertical: the largest angle in degrees by which level lines slope, either way.
        probability: the chance that a picture is slanted.
    """

    horizontal: Angle = 10.0
    vertical: Angle = 0.0
    probability: Chance = 1.0

    @model_validator(mode="after")
    def _does_something(self) -> Self:
        if not self.horizontal and not self.vertical:
            raise ValueError("shear with horizontal = 0 and vertical = 0 does nothing: leave it out")
        return self

    def maps(self, count: int, frame: Frame, draw: Draw) -> Tensor:
        x = torch.deg2rad(uniform(count, -self.horizontal, self.horizontal, draw)).tan()
        y = torch.deg2rad(uniform(count, -self.vertical, self.vertical, draw)).tan()
        slanted = happens(count, self.probability, draw)
        x, y, one = x * slanted, y * slanted, torch.ones_like(x)
        return linear_maps(frame, one + x * y, x, y, one)
