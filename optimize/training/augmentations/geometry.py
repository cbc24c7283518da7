"""What all geometric augmentations have in common: each is a map for each picture, and maps compose."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from optimize.choice import Choice
from optimize.training.augmentations.border import Border
from optimize.training.augmentations.resampling import resample
from optimize.training.step import Draw

Probability = Annotated[float, Field(ge=0, le=1)]
Chance = Annotated[float, Field(gt=0, le=1)]
# TOML has no tuples: a list of two is what a recipe says.
LENIENT = Field(strict=False)


@dataclass(frozen=True, slots=True)
class Frame:
    """The size in px of the pictures that a map applies to."""

    height: int
    width: int


class Geometric(Choice):
    """Base of augmentations that move pixels; called alone it gives pictures of the drawn size."""

    def maps(self, count: int, frame: Frame, draw: Draw) -> Tensor:
        """(count, 3, 3) float64, one for each picture, from the result to the source; see ``resampling``."""
        raise NotImplementedError

    @property
    def beyond(self) -> Border | None:
        """What lies beyond a picture's edge; None for a map that never looks there."""
        return None

    def __call__(self, pictures: Tensor, draw: Draw) -> Tensor:
        """(N, C, H, W) → (N, C, draw.height, draw.width)."""
        return transform([self], pictures, draw)


class Bordered(Geometric):
    """Base of those that look beyond a picture's edge.

    Attributes:
        border: what is there: ``black``, ``grey``, the ``edge`` drawn out, or the picture ``reflect``ed.
    """

    border: Border = "black"

    @property
    def beyond(self) -> Border | None:
        return self.border


def agree(augments: Sequence[Geometric]) -> bool:
    """Whether one resampling can do them all: none asks for another border than the others."""
    return len({augment.beyond for augment in augments} - {None}) <= 1


def transform(augments: Sequence[Geometric], pictures: Tensor, draw: Draw) -> Tensor:
    """Run neighbours, whose borders agree, in one resampling to the drawn size."""
    frame = Frame(*pictures.shape[2:])
    total = reduce(torch.matmul, [augment.maps(len(pictures), frame, draw) for augment in augments])
    borders = [augment.beyond for augment in augments if augment.beyond]
    return resample(pictures, total, draw.height, draw.width, borders[0] if borders else "black")


def uniform(count: int, low: float, high: float, draw: Draw) -> Tensor:
    """(count,) float64 from ``low`` to ``high``."""
    return torch.rand(count, generator=draw.generator, dtype=torch.float64) * (high - low) + low


def happens(count: int, probability: float, draw: Draw) -> Tensor:
    """(count,) bool: whether it is done to each picture."""
    return torch.rand(count, generator=draw.generator, dtype=torch.float64) < probability


def linear_maps(frame: Frame, xx: Tensor, xy: Tensor, yx: Tensor, yy: Tensor) -> Tensor:
    """Maps about the picture's centre, given by how they act on px: (N,) each → (N, 3, 3)."""
    maps = torch.zeros(len(xx), 3, 3, dtype=torch.float64)
    maps[:, 0, 0], maps[:, 0, 1] = xx, xy * (frame.height / frame.width)
    maps[:, 1, 0], maps[:, 1, 1] = yx * (frame.width / frame.height), yy
    maps[:, 2, 2] = 1
    return maps


def window_maps(frame: Frame, left: Tensor, top: Tensor, wide: Tensor, high: Tensor) -> Tensor:
    """Maps that show a window of the picture, all in px: (N,) each → (N, 3, 3)."""
    maps = torch.zeros(len(left), 3, 3, dtype=torch.float64)
    maps[:, 0, 0], maps[:, 0, 2] = wide / frame.width, (2 * left + wide) / frame.width - 1
    maps[:, 1, 1], maps[:, 1, 2] = high / frame.height, (2 * top + high) / frame.height - 1
    maps[:, 2, 2] = 1
    return maps
