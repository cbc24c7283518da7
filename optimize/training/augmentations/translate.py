"""Pictures moved aside."""

from typing import Annotated, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from optimize.training.augmentations.geometry import Bordered, Chance, Frame, happens, uniform, window_maps
from optimize.training.step import Draw

Share = Annotated[float, Field(ge=0, lt=1)]


class Translate(Bordered):
    """Move pictures by whole pixels.

    Attributes:
        horizontal: the farthest, as a share of the width, either way.
        vertical: the farthest, as a share of the height, either way.
        probability: the chance that a picture is moved.
    """

    horizontal: Share = 0.1
    vertical: Share = 0.1
    probability: Chance = 1.0

    @model_validator(mode="after")
    def _does_something(self) -> Self:
        if not self.horizontal and not self.vertical:
            raise ValueError("translate with horizontal = 0 and vertical = 0 does nothing: leave it out")
        return self

    def maps(self, count: int, frame: Frame, draw: Draw) -> Tensor:
        left = (uniform(count, -self.horizontal, self.horizontal, draw) * frame.width).round()
        top = (uniform(count, -self.vertical, self.vertical, draw) * frame.height).round()
        moved = happens(count, self.probability, draw)
        whole = torch.ones_like(left)
        return window_maps(frame, left * moved, top * moved, whole * frame.width, whole * frame.height)
