"""Out of focus, moved, zoomed while the shutter was open."""

import math

import torch
from torch import Generator, Tensor
from torch.nn import functional

from optimize.judging.corruptions.severity import is_small, size_ratio, strength

# Samples across a disc's radius, and across a px, at least: its edge is antialiased.
FINE = 8


def defocus_blur(pictures: Tensor, severity: int, generator: Generator) -> Tensor:
    """An even disc, its edge softened by a little Gaussian."""
    radius, softness = strength(
        pictures,
        severity,
        photo=((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5)),
        small=((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)),
    )
    ratio = size_ratio(pictures)
    kernel = pixel_disc(radius, softness) if is_small(pictures) else disc(radius * ratio, softness * ratio)
    kernel = kernel.float().to(pictures.device)
    half, channels = kernel.shape[0] // 2, pictures.shape[1]
    padded = functional.pad(pictures, (half,) * 4, mode="reflect")
    return functional.conv2d(padded, kernel.expand(channels, 1, -1, -1), groups=channels)


def disc(radius: float, softness: float) -> Tensor:
    """(side, side) float64, sum 1: a disc under a Gaussian of ``softness`` px, each pixel's area counted."""
    half = math.ceil(radius + 3 * softness)
    share = max(FINE, math.ceil(FINE / radius))
    fine = (torch.arange((2 * half + 1) * share, dtype=torch.float64) + 0.5) / share - half - 0.5
    covered = (torch.hypot(fine[:, None], fine) <= radius).double()
    line = torch.exp(-0.5 * ((fine[:, None] - fine) / max(softness, 0.25 / share)) ** 2)
    line = line / line.sum(1, keepdim=True)
    soft = line @ covered @ line.T
    kernel = functional.avg_pool2d(soft[None, None], share)[0, 0]
    return kernel / kernel.sum()


def pixel_disc(radius: float, softness: float) -> Tensor:
    """(side, side) float64, sum 1: the px within ``radius``, under three px of a Gaussian: the paper's own."""
    half = math.ceil(radius) + 1
    places = torch.arange(-half, half + 1, dtype=torch.float64)
    covered = (places[:, None] ** 2 + places**2 <= radius**2).double()
    away = (places[:, None] - places).abs()
    line = torch.exp(-0.5 * (away / softness) ** 2) * (away <= 1)
    line = line / line[half].sum()
    return line @ covered @ line.T / covered.sum()


def motion_blur(pictures: Tensor, severity: int, generator: Generator) -> Tensor:
    """A stroke at up to 45° from the level, drawn for each picture."""
    radius, sigma = strength(
        pictures,
        severity,
        photo=((10, 3), (15, 5), (15, 8), (15, 12), (20, 15)),
        small=((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5)),
    )
    ratio = size_ratio(pictures)
    angles = (torch.rand(len(pictures), generator=generator, dtype=torch.float64) - 0.5) * (math.pi / 2)
    weights = stroke(radius * ratio, sigma * ratio)
    return torch.stack([_moved(one, weights, float(angle)) for one, angle in zip(pictures, angles, strict=True)])


def stroke(radius: float, sigma: float) -> list[float]:
    """What each px on the way weighs, the sum 1: half a Gaussian, as ImageMagick has it, 2 · radius px long."""
    heights = [math.exp(-0.5 * (number / sigma) ** 2) for number in range(2 * math.ceil(radius) + 1)]
    return [height / math.fsum(heights) for height in heights]


def _moved(picture: Tensor, weights: list[float], angle: float) -> Tensor:
    """The weighted sum of (C, H, W) shifted along ``angle`` px by px."""
    far = len(weights)
    high, wide = picture.shape[1:]
    padded = functional.pad(picture[None], (far,) * 4, mode="replicate")[0]
    total = torch.zeros_like(picture)
    for number, weight in enumerate(weights):
        top, left = far + round(number * math.sin(angle)), far + round(number * math.cos(angle))
        total.add_(padded[:, top : top + high, left : left + wide], alpha=weight)
    return total


def zoom_blur(pictures: Tensor, severity: int, generator: Generator) -> Tensor:
    """The mean of the picture and of it ever nearer."""
    farthest, step = strength(
        pictures,
        severity,
        photo=((1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03)),
        small=((1.06, 0.01), (1.11, 0.01), (1.16, 0.01), (1.21, 0.01), (1.26, 0.01)),
    )
    count = math.ceil(round((farthest - 1) / step, 6))
    total = pictures.clone()
    for number in range(count):
        total += _nearer(pictures, 1 + number * step)
    return total / (count + 1)


def _nearer(pictures: Tensor, factor: float) -> Tensor:
    """The middle, ``factor`` times as large; corner pixels stay corner pixels, as in SciPy's zoom."""
    high, wide = pictures.shape[2:]
    window = _middle(pictures, math.ceil(high / factor), math.ceil(wide / factor))
    size = [max(round(part * factor), whole) for part, whole in zip(window.shape[2:], (high, wide), strict=True)]
    return _middle(functional.interpolate(window, size, mode="bilinear", align_corners=True), high, wide)


def _middle(pictures: Tensor, height: int, width: int) -> Tensor:
    top, left = (pictures.shape[2] - height) // 2, (pictures.shape[3] - width) // 2
    return pictures[:, :, top : top + height, left : left + width]
