"""Windows of a picture, of random size and shape, brought to the drawn size."""

from typing import Annotated, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from optimize.training.augmentations.boxes import draw_boxes
from optimize.training.augmentations.geometry import LENIENT, Frame, Geometric, window_maps
from optimize.training.step import Draw

Share = Annotated[float, Field(gt=0, le=1)]
Ratio = Annotated[float, Field(ge=0.1, le=10)]


class RandomResizedCrop(Geometric):
    """Show a window of each picture (Szegedy et al., 2015).

    Attributes:
        scale: its smallest and largest area, as shares of the picture's.
        ratio: how far its shape may differ from the result's: width to height, smallest and largest; 1 distorts not.
    """

    scale: Annotated[tuple[Share, Share], LENIENT] = (0.08, 1.0)
    ratio: Annotated[tuple[Ratio, Ratio], LENIENT] = (3 / 4, 4 / 3)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        for name, (low, high) in (("scale", self.scale), ("ratio", self.ratio)):
            if low > high:
                raise ValueError(f"{name}: the first number must not be above the second, but is: {[low, high]}")
        if self.scale[0] == 1:
            raise ValueError("scale = [1, 1] leaves nothing to draw: leave random_resized_crop out")
        return self

    def maps(self, count: int, frame: Frame, draw: Draw) -> Tensor:
        shape = draw.width / draw.height
        ratio = (self.ratio[0] * shape, self.ratio[1] * shape)
        high, wide = draw_boxes(count, (frame.height, frame.width), self.scale, ratio, draw)
        place = torch.rand(2, count, generator=draw.generator, dtype=torch.float64)
        return window_maps(frame, place[0] * (frame.width - wide), place[1] * (frame.height - high), wide, high)
