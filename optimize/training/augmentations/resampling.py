"""Taking pictures through affine maps, each through its own, without aliasing.

A map is a 3×3 matrix from places in the result to places in the source, both
measured from −1 at the left (top) edge to 1 at the right (bottom) one. So what
brings a picture of any size to any other is the identity, and maps compose by a
product. Four ways, the cheapest that does for the whole batch:

- mirrored or left as they are: pixels are copied, then resized if the size differs;
- moved or mirrored by whole pixels: pixels are copied;
- no rotation and no shear: two products with a matrix of triangle weights for each
  picture (``separable``), as wide as the map shrinks: Pillow's antialiased resize;
- else: bilinear samples, where it shrinks of pictures smoothed first (``affine``).

Beyond its edge a picture goes on as ``Border`` says. The edge itself is antialiased
too: a pixel of the result of which half lies outside is half border.
"""

import torch
from torch import Tensor
from torch.nn import functional

from optimize.training.augmentations.affine import sample_affine
from optimize.training.augmentations.border import Border, framed, inside_share, is_plain, level, reflected
from optimize.training.augmentations.separable import separable, triangle_weights

# Places this near to whole pixels, in px, are.
NEAR = 1e-6


def resize(pictures: Tensor, height: int, width: int) -> Tensor:
    """(N, C, H, W) → (N, C, height, width), bilinear, antialiased; the very same tensor if it has that size."""
    if pictures.shape[2:] == (height, width):
        return pictures
    resized: Tensor = functional.interpolate(pictures, (height, width), mode="bilinear", antialias=True)
    return resized.clamp_(0, 1)


def resample(pictures: Tensor, maps: Tensor, height: int, width: int, border: Border) -> Tensor:
    """Take each picture through its map.

    Args:
        pictures: float (N, C, H, W) in 0 to 1.
        maps: (N, 3, 3) float64 on the CPU, from the result to the source, see above.
    Returns:
        Float (N, C, height, width) in 0 to 1.
    """
    if maps[:, 0, 1].any() or maps[:, 1, 0].any():
        return sample_affine(pictures, maps, height, width, border)
    slopes, shifts = maps[:, :2, :2].diagonal(dim1=1, dim2=2), maps[:, :2, 2]
    if bool((slopes.abs() == 1).all()) and not shifts.any():
        return resize(_mirrored(pictures, slopes), height, width)
    source = pictures.shape[3], pictures.shape[2]
    across, down = (
        _places(slopes[:, axis], shifts[:, axis], source[axis], result) for axis, result in ((0, width), (1, height))
    )
    if _are_whole(across) and _are_whole(down):
        return _copied(pictures, down, across, border)
    return _filtered(pictures, down, across, border)


def _mirrored(pictures: Tensor, signs: Tensor) -> Tensor:
    """Turn over what has a negative sign: (N, 2), first x, then y."""
    for axis, flipped in ((3, signs[:, 0] < 0), (2, signs[:, 1] < 0)):
        if bool(flipped.any()):
            rows = flipped.to(pictures.device, non_blocking=True)[:, None, None, None]
            pictures = torch.where(rows, pictures.flip(axis), pictures)
    return pictures


def _places(slope: Tensor, shift: Tensor, source: int, result: int) -> Tensor:
    """(N, result) float64: where the middle of each pixel lies, in px of the source."""
    middles = (torch.arange(result, dtype=torch.float64) * 2 + 1) / result - 1
    return (1 + shift[:, None] + slope[:, None] * middles) * (source / 2)


def _are_whole(places: Tensor) -> bool:
    """Each is the middle of a pixel, and neighbours are of neighbours."""
    first, last = places[:, :1], places[:, -1:]
    is_dense = bool(((last - first).abs() - (places.shape[1] - 1)).abs().max() < NEAR)
    return is_dense and bool((first - first.floor() - 0.5).abs().max() < NEAR)


def _copied(pictures: Tensor, down: Tensor, across: Tensor, border: Border) -> Tensor:
    """Every place is the middle of a pixel, of the picture or of one more all round, where the border is."""
    count, channels, high, wide = pictures.shape
    rows, columns = down.floor(), across.floor()
    if border == "reflect":
        rows, columns = reflected(down, high).floor(), reflected(across, wide).floor()
    rim = int(is_plain(border))
    if rim:
        pictures = functional.pad(pictures, (1, 1, 1, 1), value=level(border))
    rows = rows.clamp(-rim, high - 1 + rim).add_(rim).long().to(pictures.device, non_blocking=True)
    columns = columns.clamp(-rim, wide - 1 + rim).add_(rim).long().to(pictures.device, non_blocking=True)
    numbers = (rows * pictures.shape[3])[:, :, None] + columns[:, None]
    chosen = numbers.flatten(1)[:, None].expand(-1, channels, -1)
    return pictures.flatten(2).gather(2, chosen).view(count, channels, *numbers.shape[1:])


def _filtered(pictures: Tensor, down: Tensor, across: Tensor, border: Border) -> Tensor:
    rows, seen_down = _line(down, pictures.shape[2], border, pictures.device)
    columns, seen_across = _line(across, pictures.shape[3], border, pictures.device)
    sampled = separable(pictures, rows, columns)
    if is_plain(border) and not (_stays_inside(down, pictures.shape[2]) and _stays_inside(across, pictures.shape[3])):
        sampled = framed(sampled, seen_down[:, None, :, None] * seen_across[:, None, None, :], border)
    return sampled.clamp_(0, 1)


def _line(places: Tensor, size: int, border: Border, device: torch.device) -> tuple[Tensor, Tensor]:
    """For one axis, weights (N, result, size), and how much of each pixel lies inside (N, result)."""
    step = _steps(places, size)
    inside = inside_share(places, step, size).float().to(device, non_blocking=True)
    places = (reflected(places, size) if border == "reflect" else places).clamp(0.5, size - 0.5)
    reach = step[:, 0].clamp(min=1).float().to(device, non_blocking=True)
    return triangle_weights(places.float().to(device, non_blocking=True), reach, size), inside


def _steps(places: Tensor, size: int) -> Tensor:
    """(N, 1): source pixels from one pixel to the next; a result of one pixel stands for as many as it can."""
    if places.shape[1] == 1:
        return 2 * torch.minimum(places, size - places).clamp(min=0.5)
    return (places[:, 1:2] - places[:, :1]).abs()


def _stays_inside(places: Tensor, size: int) -> bool:
    half = _steps(places, size) / 2
    return bool(((places - half >= -NEAR) & (places + half <= size + NEAR)).all())
