"""A ``JpegDecoder`` without a device: libjpeg on the CPU, which refuses, fails or is wrong when asked to."""

from collections.abc import Callable, Sequence

import numpy as np
import simplejpeg
import torch
from torch import Tensor


class FakeJpegDecoder:
    """Gives what libjpeg does, as tensors; ``batches`` are the sizes of those that it was given.

    ``fails`` is raised in place of an answer. ``refuses`` says of which files it gives nothing. ``options`` are
    simplejpeg's. ``changed`` makes other pixels of them.
    """

    def __init__(self, channels: int = 3, **options: bool) -> None:
        self.batches: list[int] = []
        self.fails: Exception | None = None
        self.refuses: Callable[[bytes], bool] = lambda data: False
        self.changed: Callable[[Tensor], Tensor] = lambda pixels: pixels
        self._colours = "GRAY" if channels == 1 else "RGB"
        self._options = options

    def decode(self, pictures: Sequence[bytes | memoryview]) -> list[Tensor | None]:
        self.batches.append(len(pictures))
        if self.fails is not None:
            raise self.fails
        return [self._one(bytes(data)) for data in pictures]

    def _one(self, data: bytes) -> Tensor | None:
        if self.refuses(data):
            return None
        try:
            pixels = simplejpeg.decode_jpeg(data, self._colours, **self._options)
        except ValueError:
            return None
        return self.changed(torch.from_numpy(np.ascontiguousarray(pixels)))
