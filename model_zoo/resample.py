"""Resizing without antialiasing: each output pixel looks at its few nearest input pixels.

Some models were trained that way (OpenCV's resize, ``antialias=False`` in
torch), and answer worse to well-made pictures. Pillow has no such filters, so
they are here: a gather of the few rows and columns that matter, then two
weighted sums in float32. The cost depends on the output alone.

Conventions: pixel centres at half integers, edges repeated; bicubic with
a = −0.75 as OpenCV and torch, lanczos with a = 3, nearest by the pixel that
holds the centre (torch's ``nearest-exact``, Pillow's NEAREST).
"""

import numpy as np
from numpy.typing import NDArray

from model_zoo.placement import Axis
from model_zoo.spec import ResizeFilter

_REACH: dict[ResizeFilter, int] = {"bilinear": 1, "bicubic": 2, "lanczos": 3}


def resample(image: NDArray[np.uint8], x: Axis, y: Axis, kernel: ResizeFilter) -> NDArray[np.uint8]:
    """The visible part of the window, not antialiased.

    Args:
        image: (y.source, x.source, C).
    Returns:
        (y.high − y.low, x.high − x.low, C).
    """
    if kernel == "nearest":
        return np.ascontiguousarray(image[_nearest(y)][:, _nearest(x)])
    rows, row_weights = _taps(y, kernel)
    columns, column_weights = _taps(x, kernel)
    near = image[rows.ravel()][:, columns.ravel()].astype(np.float32)
    channels = image.shape[2]
    tall = near.reshape(*rows.shape, -1)
    summed = (tall * row_weights[:, :, None]).sum(axis=1).reshape(len(rows), *columns.shape, channels)
    result = (summed * column_weights[None, :, :, None]).sum(axis=2)
    levels: NDArray[np.uint8] = np.rint(result).clip(0, 255).astype(np.uint8)
    return levels


def _nearest(axis: Axis) -> NDArray[np.int64]:
    outputs = np.arange(axis.low, axis.high, dtype=np.int64)
    return (2 * outputs + 1) * axis.source // (2 * axis.scaled)


def _taps(axis: Axis, kernel: ResizeFilter) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Indices and weights of the input pixels of each output pixel, both (outputs, taps)."""
    reach = _REACH[kernel]
    centres = (np.arange(axis.low, axis.high) + 0.5) * axis.source / axis.scaled - 0.5
    first = np.floor(centres).astype(np.int64) - reach + 1
    indices = first[:, None] + np.arange(2 * reach)
    weights = _kernel(np.abs(centres[:, None] - indices), kernel)
    weights /= weights.sum(axis=1, keepdims=True)
    return indices.clip(0, axis.source - 1), weights.astype(np.float32)


def _kernel(distance: NDArray[np.float64], kernel: ResizeFilter) -> NDArray[np.float64]:
    if kernel == "bilinear":
        return np.maximum(1 - distance, 0)
    if kernel == "lanczos":
        return np.where(distance < 3, np.sinc(distance) * np.sinc(distance / 3), 0)
    a = -0.75
    inner = ((a + 2) * distance - (a + 3)) * distance**2 + 1
    outer = ((a * distance - 5 * a) * distance + 8 * a) * distance - 4 * a
    return np.where(distance < 1, inner, np.where(distance < 2, outer, 0))
