"""Pictures with an edge put round them, of which a window of the old size is shown: for small pictures."""

from typing import Annotated, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from optimize.training.augmentations.geometry import Bordered, Frame, window_maps
from optimize.training.step import Draw


class Crop(Bordered):
    """Move pictures by a few whole pixels, of their stored size.

    Attributes:
        padding: the widest that the edge may come into view, in px.
        share: the window's side, as a share of the picture's; below 1 it moves about within the picture too.
    """

    padding: Annotated[int, Field(ge=0, le=1024)] = 4
    share: Annotated[float, Field(ge=0.1, le=1)] = 1.0

    @model_validator(mode="after")
    def _does_something(self) -> Self:
        if not self.padding and self.share == 1:
            raise ValueError("crop with padding = 0 and share = 1 does nothing: leave it out")
        return self

    def maps(self, count: int, frame: Frame, draw: Draw) -> Tensor:
        high, wide = (max(1, round(self.share * size)) for size in (frame.height, frame.width))
        top = self._starts(count, frame.height - high, draw)
        left = self._starts(count, frame.width - wide, draw)
        return window_maps(frame, left, top, torch.full_like(left, wide), torch.full_like(top, high))

    def _starts(self, count: int, room: int, draw: Draw) -> Tensor:
        return torch.randint(-self.padding, room + self.padding + 1, (count,), generator=draw.generator).double()
