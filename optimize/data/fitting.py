"""Pictures of any size and colour → the size and channels that a network or a store wants, as in serving.

Files go through ``model_zoo.preprocess.prepare``, which is what the server runs,
scaled JPEG decode included; pixels that already are pixels (IDX) go through
``preprocess``, its definition. So the accuracy measured is the accuracy served.
"""

import os
from collections.abc import Callable
from typing import Protocol, runtime_checkable

import numpy as np
from PIL import Image

from model_zoo.preprocess import preprocess
from model_zoo.spec import InputSpec
from optimize.data.dataset import Dataset, PictureSource, Pixels

# Upright (width, height) of a picture → how it is brought to size.
SpecFor = Callable[[tuple[int, int]], InputSpec]


@runtime_checkable
class FitsItself(Protocol):
    """A source with a shorter way to a given size than decoding whole."""

    def fitted(self, index: int, spec_for: SpecFor) -> Pixels:
        """As ``fit``."""
        ...


def fit(source: PictureSource, index: int, spec_for: SpecFor) -> Pixels:
    """Decode one picture and bring it to its spec's size and channels, (height, width, channels).

    Raises:
        DataError: it can't be decoded.
    """
    if isinstance(source, FitsItself):
        return source.fitted(index, spec_for)
    return fit_pixels(source.read(index), spec_for)


def fit_pixels(pixels: Pixels, spec_for: SpecFor) -> Pixels:
    """Bring decoded pixels, (H, W, 1 or 3), to size and channels."""
    height, width, _ = pixels.shape
    spec = spec_for((width, height))
    return preprocess(in_channels(pixels, spec.channels), spec)


def fit_from(dataset: Dataset, index: int, spec_for: SpecFor) -> Pixels:
    """``fit`` picture ``index`` of a data set."""
    return fit(dataset.source, int(dataset.positions[index]), spec_for)


def in_channels(pixels: Pixels, channels: int) -> Pixels:
    """Grey repeated into RGB, or RGB to grey by ITU-R 601 luma, as ``model_zoo.decode``; (H, W, channels)."""
    if pixels.shape[2] == channels:
        return pixels
    if channels == 3:
        return np.repeat(pixels, 3, axis=2)
    return np.asarray(Image.fromarray(pixels).convert("L"))[:, :, None]


def thread_count(workers: int) -> int:
    """``workers``, or where that is 0 one for each core that this process may use."""
    return workers or len(os.sched_getaffinity(0))
