"""Two pictures over each other."""

from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from optimize.choice import Choice
from optimize.training.augmentations.geometry import Chance, happens
from optimize.training.step import Draw

Alpha = Annotated[float, Field(gt=0, le=100)]


class Mixup(Choice):
    """Blend each picture, and its target, with another of the batch (Zhang et al., 2018).

    A picture without a label makes the other's target weaker, as it makes the other's picture.

    Attributes:
        alpha: both parameters of the Beta distribution that each picture's share is drawn from; small: mostly one.
        probability: the chance that a picture is mixed.
    """

    alpha: Alpha = 0.2
    probability: Chance = 1.0

    def __call__(self, pictures: Tensor, targets: Tensor, draw: Draw) -> tuple[Tensor, Tensor]:
        other = torch.randperm(len(pictures), generator=draw.generator).to(pictures.device, non_blocking=True)
        share = draw_shares(len(pictures), self.alpha, self.probability, draw).to(pictures.device, non_blocking=True)
        mixed = torch.lerp(pictures[other], pictures, share[:, None, None, None])
        return mixed.clamp_(0, 1), mix_targets(targets, other, share)


def draw_shares(count: int, alpha: float, probability: float, draw: Draw) -> Tensor:
    """(count,) float32: how much of itself each picture keeps; 1 where it is not mixed.

    Torch's Beta takes no generator: NumPy's draws, from a seed that ``draw`` gives.
    """
    seed = int(torch.randint(2**62, (), generator=draw.generator))
    shares = torch.from_numpy(np.random.default_rng(seed).beta(alpha, alpha, count)).float()
    return torch.where(happens(count, probability, draw), shares, 1.0)


def mix_targets(targets: Tensor, other: Tensor, share: Tensor) -> Tensor:
    """Each row by its share, and the row of its other picture by the rest."""
    kept = share.to(targets.dtype)[:, None]
    return targets * kept + targets[other] * (1 - kept)
