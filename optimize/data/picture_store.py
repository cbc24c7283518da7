"""Pictures of one size, ready to be batched: in memory where they fit, decoded ahead by threads where not.

Augmentation works on tensors of one size. So each picture is decoded and resized
once to a fixed shape a bit larger than training needs, and kept as bytes: 3,400
photos at 256² are 670 MB, Fashion-MNIST 47 MB. A batch then is one gather. What
is larger than ``memory_mb`` is decoded again each epoch, by a pool of threads
(the decoders release the GIL), some batches ahead of the loop.
"""

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model_zoo.placement import Axis, place
from model_zoo.spec import InputSpec, Resize, ResizeFilter
from optimize.data.array_pictures import ArrayPictures
from optimize.data.dataset import Dataset
from optimize.data.fitting import SpecFor, fit_from, thread_count

Fit = Literal["crop", "stretch", "letterbox"]
Progress = Callable[[int, int], None]  # pictures done, pictures in all

_CHUNK = 16  # pictures that a thread takes at a time


@dataclass(frozen=True, slots=True)
class StoredShape:
    """The one shape that a store keeps pictures in.

    ``crop``: the smallest size that covers height × width, the ratio kept, then the centre;
    ``stretch`` and ``letterbox``: as a bundle's resize of that name.
    """

    height: int
    width: int
    channels: Literal[1, 3]
    fit: Fit = "crop"
    filter: ResizeFilter = "bicubic"
    antialias: bool = True

    def spec_for(self, size: tuple[int, int]) -> InputSpec:
        """How a picture of upright (width, height) comes to this shape."""
        shorter = min(size)
        covering = max(-(-self.width * shorter // size[0]), -(-self.height * shorter // size[1]))
        mode: Literal["shorter_side", "stretch", "letterbox"] = "shorter_side" if self.fit == "crop" else self.fit
        resize = Resize(mode, covering if self.fit == "crop" else 0, self.filter, self.antialias)
        colour: Literal["grey", "rgb"] = "grey" if self.channels == 1 else "rgb"
        crop: Literal["centre", "none"] = "centre" if self.fit == "crop" else "none"
        return InputSpec(self.height, self.width, self.channels, colour, resize, crop, (), ())


def stored_shape(spec: InputSpec, train_px: int, margin: float = 1.15) -> StoredShape:
    """What to keep for training at ``train_px`` a network that is served with ``spec``.

    Args:
        train_px: the shorter side that training needs in the end, px.
        margin: how much larger the store is, so that random crops have something to choose from; 1: not at all.
    Returns:
        The ratio of the spec's input, its way of resizing and its filter.
    """
    scale = train_px * margin / min(spec.height, spec.width)
    fit: Fit = "crop" if spec.resize.mode == "shorter_side" else spec.resize.mode
    height, width = (math.ceil(round(side * scale, 6)) for side in (spec.height, spec.width))
    return StoredShape(height, width, spec.channels, fit, spec.resize.filter, spec.resize.antialias)


class PictureStore(Protocol):
    """Pictures of one shape, by number."""

    def __len__(self) -> int: ...

    @property
    def is_in_memory(self) -> bool:
        """Whether a batch costs a gather alone."""
        ...

    def batch(self, indices: NDArray[np.int64]) -> Tensor:
        """uint8 (N, C, H, W), contiguous.

        Raises:
            DataError: a file that was readable is no longer.
        """
        ...

    def close(self) -> None:
        """End its threads; nothing is read after."""
        ...


def open_store(
    dataset: Dataset,
    shape: StoredShape | InputSpec,
    *,
    memory_mb: int = 2048,
    workers: int = 0,
    device: str | torch.device = "cpu",
    progress: Progress | None = None,
) -> PictureStore:
    """A store of all pictures of ``dataset``.

    Args:
        shape: what to keep; an ``InputSpec`` keeps what the server would give to the network, for evaluation.
        memory_mb: kept in memory where they take no more than so many times 10⁶ bytes.
        workers: decoding threads; 0: as many as cores.
        device: where pictures in memory lie, and so where batches come; streamed ones come on the CPU.
        progress: called while memory fills.
    Raises:
        DataError: a picture can't be decoded.
    """
    size = (shape.channels, shape.height, shape.width)
    spec_for = shape.spec_for if isinstance(shape, StoredShape) else _always(shape)
    if len(dataset) * math.prod(size) > memory_mb * 10**6:
        return StreamedStore(dataset, spec_for, size, workers)
    pixels = _as_they_are(dataset, size, spec_for)
    if pixels is None:
        pixels = torch.empty((len(dataset), *size), dtype=torch.uint8)
        with ThreadPoolExecutor(thread_count(workers)) as pool:
            decode_into(pixels, dataset, np.arange(len(dataset)), spec_for, pool, progress)
    return MemoryStore(pixels.to(device))


class MemoryStore:
    """All pictures in one tensor."""

    is_in_memory = True

    def __init__(self, pixels: Tensor) -> None:
        self.pixels = pixels

    def __len__(self) -> int:
        return len(self.pixels)

    def batch(self, indices: NDArray[np.int64]) -> Tensor:
        """See ``PictureStore.batch``."""
        return self.pixels.index_select(0, torch.from_numpy(indices).to(self.pixels.device, non_blocking=True))

    def close(self) -> None:
        """Nothing to end."""


class StreamedStore:
    """Pictures decoded when they are asked for, by a pool of threads; several batches may be asked for at once."""

    is_in_memory = False

    def __init__(self, dataset: Dataset, spec_for: SpecFor, size: tuple[int, int, int], workers: int = 0) -> None:
        self._dataset, self._spec_for, self._size = dataset, spec_for, size
        self._pool = ThreadPoolExecutor(thread_count(workers), thread_name_prefix="decode")

    def __len__(self) -> int:
        return len(self._dataset)

    def batch(self, indices: NDArray[np.int64]) -> Tensor:
        """See ``PictureStore.batch``."""
        pictures = torch.empty((len(indices), *self._size), dtype=torch.uint8)
        decode_into(pictures, self._dataset, indices, self._spec_for, self._pool)
        return pictures

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(cancel_futures=True)


def decode_into(
    pictures: Tensor,
    dataset: Dataset,
    indices: NDArray[np.int64],
    spec_for: SpecFor,
    pool: ThreadPoolExecutor,
    progress: Progress | None = None,
) -> None:
    """Decode ``indices`` into the rows of ``pictures``, uint8 (N, C, H, W).

    Raises:
        DataError: of the first picture, in order, that can't be decoded; the others still to come are cancelled.
    """
    rows = pictures.numpy().transpose(0, 2, 3, 1)

    def decode_some(first: int) -> int:
        last = min(first + _CHUNK, len(indices))
        for row in range(first, last):
            rows[row] = fit_from(dataset, int(indices[row]), spec_for)
        return last

    pending = [pool.submit(decode_some, first) for first in range(0, len(indices), _CHUNK)]
    try:
        for one in pending:
            done = one.result()
            if progress is not None:
                progress(done, len(indices))
    finally:
        for one in pending:
            one.cancel()


def _as_they_are(dataset: Dataset, size: tuple[int, int, int], spec_for: SpecFor) -> Tensor | None:
    """Pixels of an array that has this very size need no fitting, one by one; None where they do.

    Serving may enlarge a picture of the input's size and cut its centre out; then they do.
    """
    source = dataset.source
    if not isinstance(source, ArrayPictures) or source.pixels.shape[1:] != (size[1], size[2], size[0]):
        return None
    _, height, width = size
    placement = place(width, height, spec_for((width, height)))
    if (placement.x, placement.y) != (Axis(width, width, 0, width), Axis(height, height, 0, height)):
        return None
    chosen = torch.from_numpy(source.pixels[dataset.positions])
    return chosen.permute(0, 3, 1, 2).contiguous()


def _always(spec: InputSpec) -> SpecFor:
    return lambda _: spec
