"""Filters that work along rows and columns in turn, each picture with weights of its own.

A row's filter is a matrix (result, source); so a whole picture takes two matrix
products, the kind of work that both CPUs and GPUs do best, with any weights: no
gathering, no kernel size, each picture its own.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

# A Gaussian narrower than this many pixels has no weight beyond its own pixel.
NARROWEST = 0.05


def separable(pictures: Tensor, down: Tensor, across: Tensor) -> Tensor:
    """Filter columns, then rows.

    Args:
        pictures: (N, C, H, W).
        down: (N, height, H), weights along columns.
        across: (N, width, W), weights along rows.
    Returns:
        (N, C, height, width).
    """
    count, channels, high, wide = pictures.shape
    with full_precision():
        narrow = torch.bmm(pictures.reshape(count, channels * high, wide), across.transpose(1, 2))
        return torch.matmul(down[:, None], narrow.view(count, channels, high, across.shape[1]))


def triangle_weights(places: Tensor, reach: Tensor, size: int) -> Tensor:
    """Weights of linear interpolation, of Pillow's antialiased kind where ``reach`` is above 1.

    Args:
        places: (N, result) in px of the source, the first pixel from 0 to 1, each inside the source.
        reach: (N,) source pixels from the triangle's middle to its end, at least 1.
    Returns:
        (N, result, size), each row's sum 1.
    """
    pixels = torch.arange(size, device=places.device) + 0.5
    away = (places[:, :, None] - pixels).abs_().div_(reach[:, None, None])
    weights = away.neg_().add_(1).clamp_(min=0)
    return weights.div_(weights.sum(2, keepdim=True))


def gaussian_weights(sigma: Tensor, size: int) -> Tensor:
    """Weights of a Gaussian; a picture goes on mirrored at its edge.

    Args:
        sigma: (N,) px.
    Returns:
        (N, size, size), each row's sum 1.
    """
    pixels = torch.arange(size, device=sigma.device)
    distances = torch.arange(2 * size, device=sigma.device)
    heights = torch.exp(distances**2 * (-0.5 / sigma.clamp(min=NARROWEST)[:, None] ** 2))
    mirrored = pixels[:, None] + pixels + 1
    away = torch.stack([(pixels[:, None] - pixels).abs(), mirrored, 2 * size - mirrored])
    weights = heights.index_select(1, away.flatten()).view(len(sigma), 3, size, size).sum(1)
    return weights.div_(weights.sum(2, keepdim=True))


@contextmanager
def full_precision() -> Iterator[None]:
    """Products in full float32, whatever was set for the network's: a picture is the same on every device."""
    chosen = torch.get_float32_matmul_precision()
    if chosen != "highest":
        torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        if chosen != "highest":
            torch.set_float32_matmul_precision(chosen)
