"""Pictures with a piece missing."""

from typing import Annotated, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from optimize.choice import Choice
from optimize.training.augmentations.boxes import draw_boxes
from optimize.training.augmentations.geometry import LENIENT, Chance, happens
from optimize.training.step import Draw

Share = Annotated[float, Field(gt=0, lt=1)]
Ratio = Annotated[float, Field(ge=0.05, le=20)]


class Erasing(Choice):
    """Cover a box of some pictures (random erasing, Zhong et al., 2020; with ``black``, near cutout, DeVries 2017).

    Attributes:
        area: the box's smallest and largest, as shares of the picture's.
        ratio: its width to height, smallest and largest.
        fill: ``noise`` for each pixel by itself, one ``colour`` for a box, ``grey`` or ``black``.
        probability: the chance for each picture.
    """

    area: Annotated[tuple[Share, Share], LENIENT] = (0.02, 0.33)
    ratio: Annotated[tuple[Ratio, Ratio], LENIENT] = (0.3, 3.3)
    fill: Literal["noise", "colour", "grey", "black"] = "noise"
    probability: Chance = 0.25

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        for name, (low, high) in (("area", self.area), ("ratio", self.ratio)):
            if low > high:
                raise ValueError(f"{name}: the first number must not be above the second, but is: {[low, high]}")
        return self

    def __call__(self, pictures: Tensor, draw: Draw) -> Tensor:
        rows = happens(len(pictures), self.probability, draw).nonzero().flatten()
        if not len(rows):
            return pictures
        covered = self._boxes(len(rows), pictures.shape[2], pictures.shape[3], draw)
        covered = covered.to(pictures.device, non_blocking=True)
        cover = self._cover(len(rows), pictures, draw).to(pictures.device, non_blocking=True)
        rows = rows.to(pictures.device, non_blocking=True)
        return pictures.index_copy(0, rows, torch.where(covered, cover, pictures[rows]))

    def _boxes(self, count: int, height: int, width: int, draw: Draw) -> Tensor:
        """(count, 1, height, width): true where a box lies, in whole px."""
        high, wide = draw_boxes(count, (height, width), self.area, self.ratio, draw)
        place = torch.rand(2, count, generator=draw.generator, dtype=torch.float64)
        rows = _span(place[0], high, height)[:, None, :, None]
        return rows & _span(place[1], wide, width)[:, None, None, :]

    def _cover(self, count: int, pictures: Tensor, draw: Draw) -> Tensor:
        _, channels, height, width = pictures.shape
        if self.fill == "noise":
            return torch.rand(count, channels, height, width, generator=draw.generator)
        if self.fill == "colour":
            return torch.rand(count, channels, 1, 1, generator=draw.generator)
        return torch.tensor(0.5 if self.fill == "grey" else 0.0)


def _span(place: Tensor, length: Tensor, size: int) -> Tensor:
    """(count, size): true for the whole px from a start drawn by ``place`` (0 to 1) on."""
    length = length.round().clamp(1, size)
    start = (place * (size - length + 1)).floor()[:, None]
    pixels = torch.arange(size)
    return (pixels >= start) & (pixels < start + length[:, None])
