"""Boxes of a drawn area and shape that fit into a picture."""

import math

import torch
from torch import Tensor

from optimize.training.step import Draw

# One of this many fits all but certainly; where none does, the box is cut to fit.
TRIES = 10


def draw_boxes(
    count: int,
    size: tuple[float, float],
    area: tuple[float, float],
    ratio: tuple[float, float],
    draw: Draw,
) -> tuple[Tensor, Tensor]:
    """Heights and widths, (count,) float64 each, in the unit of ``size``.

    Args:
        size: height and width to fit into.
        area: as a share of the whole, drawn evenly.
        ratio: width to height, drawn so that twice as wide is as likely as half as wide.
    Source: Inception's crops (Szegedy et al., 2015) draw so.
    """
    height, width = size
    numbers = torch.rand(2, count, TRIES, generator=draw.generator, dtype=torch.float64)
    areas = (numbers[0] * (area[1] - area[0]) + area[0]) * height * width
    ratios = (numbers[1] * (math.log(ratio[1]) - math.log(ratio[0])) + math.log(ratio[0])).exp()
    high, wide = (areas / ratios).sqrt(), (areas * ratios).sqrt()
    fits = (high <= height) & (wide <= width)
    first = fits.to(torch.uint8).argmax(dim=1, keepdim=True)
    return high.gather(1, first)[:, 0].clamp(max=height), wide.gather(1, first)[:, 0].clamp(max=width)
