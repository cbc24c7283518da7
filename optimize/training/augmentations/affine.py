"""Bilinear samples of pictures through any affine map, smoothed first where it shrinks."""

import torch
from torch import Tensor
from torch.nn import functional

from optimize.training.augmentations.border import Border, framed, inside_share, is_plain
from optimize.training.augmentations.separable import separable, triangle_weights

# A bilinear sample that stands for up to this many source pixels on a side aliases too little to see.
ALIASES_BEYOND = 1.2


def sample_affine(pictures: Tensor, maps: Tensor, height: int, width: int, border: Border) -> Tensor:
    """As ``resampling.resample``, for maps of any kind."""
    high, wide = pictures.shape[2:]
    source, result = torch.tensor([wide, high]), torch.tensor([width, height])
    reach = (maps[:, :2, :2] * source[:, None] / result).norm(dim=2)
    grid = _grid(maps[:, :2].float().to(pictures.device, non_blocking=True), height, width)
    padding = "reflection" if border == "reflect" else "border"
    sampled = functional.grid_sample(_smoothed(pictures, reach), grid, "bilinear", padding, align_corners=False)
    if is_plain(border) and _looks_outside(maps):
        reach = reach.float().to(pictures.device, non_blocking=True)[:, :, None, None]
        x, y = ((grid[..., axis] + 1) * (size / 2) for axis, size in enumerate((wide, high)))
        inside = inside_share(x, reach[:, 0], wide) * inside_share(y, reach[:, 1], high)
        sampled = framed(sampled, inside[:, None], border)
    return sampled.clamp_(0, 1)


def _looks_outside(maps: Tensor) -> bool:
    farthest = maps[:, :2, :2].abs().sum(2) + maps[:, :2, 2].abs()
    return bool((farthest > 1 + 1e-9).any())


def _grid(maps: Tensor, height: int, width: int) -> Tensor:
    """(N, 2, 3) → (N, height, width, 2): where each pixel lies in the source; ``affine_grid``, but faster."""
    x = (torch.arange(width, device=maps.device) * 2 + 1) / width - 1
    y = (torch.arange(height, device=maps.device) * 2 + 1) / height - 1
    across = maps[:, None, :, 0] * x[:, None]
    down = torch.addcmul(maps[:, None, :, 2], maps[:, None, :, 1], y[:, None])
    return across[:, None] + down[:, :, None]


def _smoothed(pictures: Tensor, reach: Tensor) -> Tensor:
    """Take away what is too fine for the result to hold, where a map shrinks.

    A triangle ``reach`` px wide to either side, on pixels, and the bilinear sample together are as wide (have the
    variance reach²/6) as the one triangle that Pillow widens its bilinear filter to; at 1 it changes nothing.
    """
    shrinks = (reach > ALIASES_BEYOND).any(dim=1).nonzero().flatten()
    if not len(shrinks):
        return pictures
    widths = reach[shrinks].clamp(min=1).float().to(pictures.device, non_blocking=True)
    rows = shrinks.to(pictures.device, non_blocking=True)
    down, across = (_own_places(widths[:, axis], pictures.shape[3 - axis]) for axis in (1, 0))
    return pictures.index_copy(0, rows, separable(pictures[rows], down, across))


def _own_places(reach: Tensor, size: int) -> Tensor:
    places = (torch.arange(size, device=reach.device) + 0.5).expand(len(reach), size)
    return triangle_weights(places, reach, size)
