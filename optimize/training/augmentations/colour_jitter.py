"""Other light, other colours."""

from typing import Annotated, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from optimize.training.augmentations import colour
from optimize.training.augmentations.geometry import Chance, happens, uniform
from optimize.training.step import Draw

Amount = Annotated[float, Field(ge=0, le=1)]


class ColourJitter(colour.Chromatic):
    """Change brightness, contrast, saturation and hue, in an order drawn for each picture.

    Attributes:
        brightness: the factor is drawn from 1 − this to 1 + this.
        contrast: likewise.
        saturation: likewise; does nothing to pictures with one channel.
        hue: the farthest turn of the colour circle, either way; 0.5 is half of it. Nothing with one channel.
        probability: the chance that it is done to a picture.
    """

    brightness: Amount = 0.4
    contrast: Amount = 0.4
    saturation: Amount = 0.4
    hue: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    probability: Chance = 1.0

    @model_validator(mode="after")
    def _does_something(self) -> Self:
        if not any((self.brightness, self.contrast, self.saturation, self.hue)):
            raise ValueError("colour_jitter with all four settings 0 does nothing: leave it out")
        return self

    def mixing(self, count: int, draw: Draw) -> tuple[Tensor, Tensor]:
        done = happens(count, self.probability, draw)
        changes = (
            (colour.brightness, 1.0, self.brightness),
            (colour.contrast, 1.0, self.contrast),
            (colour.saturation, 1.0, self.saturation),
            (colour.hue, 0.0, self.hue),
        )
        steps = [change(middle + uniform(count, -most, most, draw) * done) for change, middle, most in changes if most]
        keep, spread = (torch.stack(part) for part in zip(*steps, strict=True))
        order = torch.rand(len(steps), count, generator=draw.generator).argsort(dim=0)
        rows = torch.arange(count)
        return colour.compose([(keep[one, rows], spread[one, rows]) for one in order])
