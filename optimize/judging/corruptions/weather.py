"""Fog, and a sun too bright."""

import torch
from torch import Generator, Tensor

from optimize.judging.corruptions.severity import strength


def fog(pictures: Tensor, severity: int, generator: Generator) -> Tensor:
    """Bright clouds over a picture that fades by as much, one cloud for each picture."""
    thickness, decay = strength(
        pictures,
        severity,
        photo=((1.5, 2), (2, 2), (2.5, 1.7), (2.5, 1.5), (3, 1.4)),
        small=((0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75)),
    )
    high, wide = pictures.shape[2:]
    side = 1 << (max(high, wide, 2) - 1).bit_length()
    clouds = plasma(len(pictures), side, decay, generator)[:, None, :high, :wide].float().to(pictures.device)
    brightest = pictures.amax((1, 2, 3), keepdim=True)
    return (pictures + thickness * clouds) * brightest / (brightest + thickness)


def plasma(count: int, side: int, decay: float, generator: Generator) -> Tensor:
    """Clouds by the diamond-square algorithm, (count, side, side) float64 from 0 to 1; ``side`` a power of two.

    The middle of each square, then of each diamond, is the mean of its four corners and a random number, whose range
    becomes ``decay`` squared times as small from one size of squares to the next, as the paper's code has it. Edges
    wrap round.
    """
    heights = torch.zeros(count, side, side, dtype=torch.float64)
    step, wobble = side, 1.0
    while step >= 2:
        half = step // 2
        corners = heights[:, ::step, ::step]
        rows = corners + corners.roll(-1, 1)
        heights[:, half::step, half::step] = _about(rows + rows.roll(-1, 2), wobble, generator)
        middles = heights[:, half::step, half::step]
        across = corners + corners.roll(-1, 2) + middles + middles.roll(1, 1)
        heights[:, ::step, half::step] = _about(across, wobble, generator)
        down = corners + corners.roll(-1, 1) + middles + middles.roll(1, 2)
        heights[:, half::step, ::step] = _about(down, wobble, generator)
        step, wobble = half, wobble / decay**2
    heights -= heights.amin((1, 2), keepdim=True)
    return heights / heights.amax((1, 2), keepdim=True)


def _about(corners: Tensor, wobble: float, generator: Generator) -> Tensor:
    drawn = torch.rand(corners.shape, generator=generator, dtype=torch.float64)
    return corners / 4 + wobble * (2 * drawn - 1)


def brightness(pictures: Tensor, severity: int, generator: Generator) -> Tensor:
    """HSV's value raised: hue and saturation stay, the largest channel grows by a fixed amount, to 1 at most."""
    amount = strength(pictures, severity, photo=(0.1, 0.2, 0.3, 0.4, 0.5), small=(0.05, 0.1, 0.15, 0.2, 0.3))
    value = pictures.amax(1, keepdim=True)
    raised = (value + amount).clamp(max=1)
    return torch.where(value > 0, pictures * (raised / value.clamp(min=1e-6)), raised)
