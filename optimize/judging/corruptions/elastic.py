"""Pictures bent like a rubber sheet."""

import torch
from torch import Generator, Tensor
from torch.nn import functional

from optimize.judging.corruptions.severity import strength
from optimize.training.augmentations.separable import gaussian_weights, separable

# The paper's photos were of 224 px, its lengths by mistake for 244.
SLIP = 244 / 224


def elastic(pictures: Tensor, severity: int, generator: Generator) -> Tensor:
    """A random affine map, then each pixel moved by a smooth random field; lengths are shares of the longer side."""
    amount, smooth, corner = strength(
        pictures,
        severity,
        photo=tuple(
            (amount * SLIP, smooth * SLIP, corner * SLIP)
            for amount, smooth, corner in (
                (2, 0.7, 0.1),
                (2, 0.08, 0.2),
                (0.05, 0.01, 0.02),
                (0.07, 0.01, 0.02),
                (0.12, 0.01, 0.02),
            )
        ),
        small=((0, 0, 0.08), (0.05, 0.2, 0.07), (0.08, 0.06, 0.06), (0.1, 0.04, 0.05), (0.1, 0.03, 0.03)),
    )
    count, _, high, wide = pictures.shape
    side = max(high, wide)
    places = _pixels(high, wide) + _field(count, high, wide, smooth * side, generator) * (amount * side)
    back = torch.linalg.inv(affine_maps(count, high, wide, corner * side, generator))
    places = torch.einsum("nij,nhwj->nhwi", back[:, :2, :2], places) + back[:, None, None, :2, 2]
    return _sampled(pictures, places)


def affine_maps(count: int, high: int, wide: int, farthest: float, generator: Generator) -> Tensor:
    """(count, 3, 3) float64, px to px: three corners of a square, each moved by up to ``farthest`` px on each axis."""
    middle = torch.tensor([wide // 2, high // 2], dtype=torch.float64)
    third = min(high, wide) // 3
    corners = middle + third * torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]], dtype=torch.float64)
    moved = corners + farthest * (2 * torch.rand(count, 3, 2, generator=generator, dtype=torch.float64) - 1)
    one = torch.ones(count, 3, 1, dtype=torch.float64)
    before, after = torch.cat([corners.expand(count, 3, 2), one], 2), torch.cat([moved, one], 2)
    maps: Tensor = torch.linalg.solve(before, after)
    return maps.transpose(1, 2)


def _pixels(high: int, wide: int) -> Tensor:
    rows, columns = torch.arange(high, dtype=torch.float64), torch.arange(wide, dtype=torch.float64)
    return torch.stack([columns.expand(high, wide), rows[:, None].expand(high, wide)], dim=2)


def _field(count: int, high: int, wide: int, sigma: float, generator: Generator) -> Tensor:
    """(count, high, wide, 2) float64: even noise from −1 to 1 under a Gaussian."""
    noise = 2 * torch.rand(count, 2, high, wide, generator=generator) - 1
    widths = torch.full((count,), float(sigma))
    return separable(noise, gaussian_weights(widths, high), gaussian_weights(widths, wide)).permute(0, 2, 3, 1).double()


def _sampled(pictures: Tensor, places: Tensor) -> Tensor:
    """Bilinear samples at (N, H, W, 2) px, x first; beyond their edges pictures are mirrored."""
    size = torch.tensor([pictures.shape[3], pictures.shape[2]], dtype=torch.float64)
    grid = ((places * 2 + 1) / size - 1).float().to(pictures.device)
    sampled: Tensor = functional.grid_sample(pictures, grid, "bilinear", "reflection", align_corners=False)
    return sampled
