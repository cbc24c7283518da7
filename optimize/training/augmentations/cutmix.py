"""A piece of one picture in another."""

import torch
from torch import Tensor

from optimize.choice import Choice
from optimize.training.augmentations.geometry import Chance
from optimize.training.augmentations.mixup import Alpha, draw_shares, mix_targets
from optimize.training.step import Draw


class CutMix(Choice):
    """Paste a box of another picture of the batch; the target is mixed by area (Yun et al., 2019).

    The box keeps the picture's shape and may stand out over its edge; what counts is the area that was really pasted.

    Attributes:
        alpha: both parameters of the Beta distribution that the box's area is drawn from; 1 draws evenly.
        probability: the chance that a picture is mixed.
    """

    alpha: Alpha = 1.0
    probability: Chance = 1.0

    def __call__(self, pictures: Tensor, targets: Tensor, draw: Draw) -> tuple[Tensor, Tensor]:
        count, _, height, width = pictures.shape
        other = torch.randperm(count, generator=draw.generator).to(pictures.device, non_blocking=True)
        side = (1 - draw_shares(count, self.alpha, self.probability, draw)).sqrt()
        middle = torch.rand(2, count, generator=draw.generator)
        down, across = _span(middle[0], side, height), _span(middle[1], side, width)
        share = 1 - down.sum(1) * across.sum(1) / (height * width)
        pasted = (down[:, None, :, None] & across[:, None, None, :]).to(pictures.device, non_blocking=True)
        mixed = torch.where(pasted, pictures[other], pictures)
        return mixed, mix_targets(targets, other, share.to(pictures.device, non_blocking=True))


def _span(middle: Tensor, side: Tensor, size: int) -> Tensor:
    """(count, size): true for the whole px of a stretch ``side`` (a share of ``size``) long, cut at the ends."""
    length = (side * size).round()
    start = (middle * size - length / 2).round()[:, None]
    pixels = torch.arange(size)
    return (pixels >= start) & (pixels < start + length[:, None])
