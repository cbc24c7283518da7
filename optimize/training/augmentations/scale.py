"""Pictures nearer or farther away."""

import math
from typing import Annotated, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from optimize.training.augmentations.geometry import (
    LENIENT,
    Bordered,
    Chance,
    Frame,
    happens,
    linear_maps,
    uniform,
)
from optimize.training.step import Draw

Factor = Annotated[float, Field(ge=0.1, le=10)]


class Scale(Bordered):
    """Make what is in a picture larger or smaller about its centre; the picture keeps its size.

    Attributes:
        range: the smallest and the largest factor; twice as large is as likely as half as large.
        probability: the chance that it is done to a picture.
    """

    range: Annotated[tuple[Factor, Factor], LENIENT] = (0.8, 1.25)
    probability: Chance = 1.0

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.range[0] < self.range[1]:
            raise ValueError(f"range: the first factor must be below the second, not {list(self.range)}")
        return self

    def maps(self, count: int, frame: Frame, draw: Draw) -> Tensor:
        factor = uniform(count, math.log(self.range[0]), math.log(self.range[1]), draw)
        inverse = (-factor * happens(count, self.probability, draw)).exp()
        none = torch.zeros_like(inverse)
        return linear_maps(frame, inverse, none, none, inverse)
