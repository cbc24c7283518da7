"""Batches of awkward pictures, and what they should become."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from model_zoo.decode import turn_upright
from model_zoo.preprocess import preprocess
from model_zoo.spec import Crop, InputSpec, Resize, ResizeFilter, ResizeMode
from server.backends.ragged.arguments import RaggedResize
from server.backends.ragged.pack import Packer

RGB = InputSpec(20, 24, 3, "rgb", Resize("shorter_side", 27, "bicubic"), "centre", (127.0,) * 3, (128.0,) * 3)
POISON = 77
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"

Stored = tuple[NDArray[np.uint8], int]  # (H, W, C) as it is stored, and its EXIF orientation


def spec_of(mode: ResizeMode, kernel: ResizeFilter = "bicubic", channels: int = 3, base: InputSpec = RGB) -> InputSpec:
    """``base`` with another resize or number of channels."""
    crop: Crop = "centre" if mode == "shorter_side" else "none"
    resize = replace(base.resize, mode=mode, filter=kernel)
    if channels == 1:
        return replace(
            base, channels=1, colour="grey", resize=resize, crop=crop, graph_mean=(127.0,), graph_std=(128.0,)
        )
    return replace(base, resize=resize, crop=crop)


def noise(height: int, width: int, channels: int = 3, seed: int = 0) -> NDArray[np.uint8]:
    """The hardest picture for a filter."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)


def expected(pictures: Sequence[Stored], spec: InputSpec) -> NDArray[np.uint8]:
    """Each picture turned upright and prepared by the reference: (N, H, W, C)."""
    return np.stack([preprocess(turn_upright(image, orientation), spec) for image, orientation in pictures])


def resized(
    resize: RaggedResize,
    pictures: Sequence[Stored],
    spec: InputSpec,
    *,
    exact: bool = True,
    bucket: int | None = None,
    dtype: torch.dtype = torch.uint8,
    normalisation: torch.Tensor | None = None,
) -> torch.Tensor:
    """Pack the pictures and run them as one batch: (bucket, H, W, C), on the host.

    The output lies between two guard rows of poison that must stay as they are, and is poisoned itself.
    """
    capacity = sum(image.nbytes + 16 for image, _ in pictures)
    packer = Packer.allocate(spec, capacity_bytes=capacity, rows=bucket or len(pictures), exact=exact)
    for image, orientation in pictures:
        assert packer.add(image, orientation)
    packed = packer.packed(bucket or len(pictures))
    shape = (len(packed.table) + 2, spec.height, spec.width, spec.channels)
    memory = torch.full(shape, POISON, dtype=dtype, device=DEVICE)
    given = None if normalisation is None else normalisation.to(DEVICE)
    resize(
        torch.from_numpy(packed.pixels).to(DEVICE), torch.from_numpy(packed.table).to(DEVICE), memory[1:-1], spec, given
    )
    assert (memory[[0, -1]] == POISON).all()
    return memory[1:-1].cpu()


def difference(result: torch.Tensor, reference: NDArray[np.uint8]) -> NDArray[np.float64]:
    """In levels."""
    return np.abs(result.double().numpy() - reference)
