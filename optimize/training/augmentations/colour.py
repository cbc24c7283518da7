"""What all changes of colour have in common: each is a matrix for each picture, and matrices compose.

Brightness, contrast, saturation, a turned hue and grey all are linear in a pixel
and the picture's mean pixel: new = K · pixel + C · mean. So any number of them, in
any order, is one pair of 3×3 matrices, found without looking at a pixel, and one
pass over the picture. Values are cut to 0 to 1 once, at the end, where a chain of
single steps would cut after each.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from optimize.choice import Choice
from optimize.training.augmentations.separable import full_precision
from optimize.training.step import Draw

# How bright red, green and blue look (ITU-R BT.601, as Pillow's "L" and JPEG have it).
LUMA = (0.299, 0.587, 0.114)


class Chromatic(Choice):
    """Base of augmentations that change colours and move nothing."""

    def mixing(self, count: int, draw: Draw) -> tuple[Tensor, Tensor]:
        """K and C as above, (count, 3, 3) float64 each."""
        raise NotImplementedError

    def __call__(self, pictures: Tensor, draw: Draw) -> Tensor:
        """(N, C, H, W) → the same shape."""
        return recolour([self], pictures, draw)


def recolour(augments: Sequence[Chromatic], pictures: Tensor, draw: Draw) -> Tensor:
    """Run neighbours in one pass."""
    return apply_mixing(pictures, *compose([augment.mixing(len(pictures), draw) for augment in augments]))


def compose(steps: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """One after another, as one: a step sees the pixels and the mean that those before it made."""
    pixel, mean = steps[0]
    for keep, spread in steps[1:]:
        pixel, mean = keep @ pixel, keep @ mean + spread @ (pixel + mean)
    return pixel, mean


def apply_mixing(pictures: Tensor, pixel: Tensor, mean: Tensor) -> Tensor:
    """K · pixel + C · mean, cut to 0 to 1; a single channel stands for three equal ones."""
    count, channels, high, wide = pictures.shape
    if channels == 1:
        pixel, mean = pixel[:, :1].sum(2, keepdim=True), mean[:, :1].sum(2, keepdim=True)
    flat = pictures.reshape(count, channels, high * wide)
    pixel = pixel.float().to(pictures.device, non_blocking=True)
    mean = mean.float().to(pictures.device, non_blocking=True)
    with full_precision():
        shift = mean @ flat.mean(2, keepdim=True)
        changed = torch.baddbmm(shift, pixel, flat)
    return changed.clamp_(0, 1).view(count, channels, high, wide)


def identity(count: int) -> Tensor:
    """(count, 3, 3) float64."""
    return torch.eye(3, dtype=torch.float64).repeat(count, 1, 1)


def brightness(factor: Tensor) -> tuple[Tensor, Tensor]:
    """(N,) factors: 0 black, 1 as it was."""
    keep = identity(len(factor)) * factor[:, None, None]
    return keep, torch.zeros_like(keep)


def contrast(factor: Tensor) -> tuple[Tensor, Tensor]:
    """(N,) factors: 0 the mean grey everywhere, 1 as it was."""
    keep = identity(len(factor)) * factor[:, None, None]
    return keep, _luma_rows() * (1 - factor)[:, None, None]


def saturation(factor: Tensor) -> tuple[Tensor, Tensor]:
    """(N,) factors: 0 grey, 1 as it was."""
    keep = identity(len(factor)) * factor[:, None, None] + _luma_rows() * (1 - factor)[:, None, None]
    return keep, torch.zeros_like(keep)


def hue(turn: Tensor) -> tuple[Tensor, Tensor]:
    """(N,) turns about the grey axis of YIQ, 1 a whole one: brightness stays, unlike with HSV's hue."""
    yiq = torch.tensor([LUMA, (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112)], dtype=torch.float64)
    angle = turn * (2 * torch.pi)
    turned = identity(len(turn))
    turned[:, 1, 1], turned[:, 1, 2] = angle.cos(), -angle.sin()
    turned[:, 2, 1], turned[:, 2, 2] = angle.sin(), angle.cos()
    keep = torch.linalg.inv(yiq) @ turned @ yiq
    return keep, torch.zeros_like(keep)


def _luma_rows() -> Tensor:
    return torch.tensor([LUMA] * 3, dtype=torch.float64)
