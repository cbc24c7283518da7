"""Mirrored pictures."""

from typing import Self

import torch
from pydantic import model_validator
from torch import Tensor

from optimize.training.augmentations.geometry import Frame, Geometric, Probability, happens, linear_maps
from optimize.training.step import Draw


class Flip(Geometric):
    """Mirror pictures.

    Attributes:
        horizontal: the chance that left and right change places.
        vertical: the chance that top and bottom do.
    """

    horizontal: Probability = 0.5
    vertical: Probability = 0.0

    @model_validator(mode="after")
    def _does_something(self) -> Self:
        if not self.horizontal and not self.vertical:
            raise ValueError("flip with horizontal = 0 and vertical = 0 does nothing: leave it out")
        return self

    def maps(self, count: int, frame: Frame, draw: Draw) -> Tensor:
        x = 1 - 2 * happens(count, self.horizontal, draw).double()
        y = 1 - 2 * happens(count, self.vertical, draw).double()
        none = torch.zeros_like(x)
        return linear_maps(frame, x, none, none, y)
