"""Grainy pictures."""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from optimize.choice import Choice
from optimize.training.augmentations.geometry import Chance, happens, uniform
from optimize.training.step import Draw


class Noise(Choice):
    """Add Gaussian noise, for every pixel and channel by itself.

    Attributes:
        deviation: the largest standard deviation, 1 being white; each picture's is drawn from 0 to this.
        probability: the chance for each picture.
    """

    deviation: Annotated[float, Field(gt=0, le=1)] = 0.05
    probability: Chance = 0.5

    def __call__(self, pictures: Tensor, draw: Draw) -> Tensor:
        deviation = uniform(len(pictures), 0, self.deviation, draw)
        rows = happens(len(pictures), self.probability, draw).nonzero().flatten()
        if not len(rows):
            return pictures
        grain = torch.randn(len(rows), *pictures.shape[1:], generator=draw.generator)
        grain.mul_(deviation[rows].float()[:, None, None, None])
        rows = rows.to(pictures.device, non_blocking=True)
        noisy = grain.to(pictures.device, non_blocking=True).add_(pictures[rows]).clamp_(0, 1)
        return pictures.index_copy(0, rows, noisy)
