"""Pictures of any sizes, end to end in one buffer of fixed size.

The buffer and its table are the caller's, or are made once and used for every
batch: they can be page-locked, and their addresses captured in a CUDA graph.
Rows that hold no picture point to a black one of 1×1 px at the buffer's start,
so that a batch may be padded up to its bucket without a thought.

Pictures that the device has decoded itself have their places in its copy of the
buffer, from the end on, so that what is to be copied up stays in one piece.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model_zoo.spec import InputSpec
from server.backends.ragged import supports
from server.backends.ragged.table import COLUMNS, Column, decoded_px, row

ALIGNMENT = 16  # bytes: the pictures begin at multiples of it
ORIENTATIONS = EIGHTHS = range(1, 9)


@dataclass(frozen=True, slots=True)
class Packed:
    """A batch to copy to the device: views of the packer's memory, valid until it is cleared.

    Attributes:
        pixels: uint8, (bytes in use,).
        table: int64, (bucket, COLUMNS).
        count: how many rows are pictures; the others are padding.
    """

    pixels: NDArray[np.uint8]
    table: NDArray[np.int64]
    count: int


class Packer:
    """Fills one buffer for one kind of input. Used by one thread at a time."""

    def __init__(
        self, spec: InputSpec, pixels: NDArray[np.uint8], table: NDArray[np.int64], *, exact: bool = True
    ) -> None:
        """Take memory to fill.

        Args:
            pixels: (capacity in bytes,), its address a multiple of ``ALIGNMENT``.
            table: (largest batch, COLUMNS), C-contiguous.
            exact: Pillow's rounding and order of passes, or the fast mode.
        Raises:
            ValueError: the spec is not supported here, or the memory is of another shape.
        """
        if not supports(spec):
            raise ValueError(f"ragged preprocessing does not do {spec.resize} with crop '{spec.crop}'")
        if pixels.ndim != 1 or pixels.size < ALIGNMENT or table.ndim != 2 or table.shape[1] != COLUMNS:
            raise ValueError(f"{pixels.shape} bytes and a table of {table.shape} are no memory for pictures")
        self._spec, self._exact = spec, exact
        self._pixels, self._table = pixels, table
        self._empty = row(1, 1, 1, 8, spec, exact)
        self._pixels[:ALIGNMENT] = 0
        self._count, self._used, self._until = len(table), 0, pixels.size
        self.clear()

    @classmethod
    def allocate(cls, spec: InputSpec, *, capacity_bytes: int, rows: int, exact: bool = True) -> "Packer":
        """One with ordinary memory of its own, rounded up to ``ALIGNMENT``."""
        capacity_bytes = _aligned(max(capacity_bytes, 1)) + ALIGNMENT
        return cls(spec, np.empty(capacity_bytes, np.uint8), np.empty((rows, COLUMNS), np.int64), exact=exact)

    @property
    def count(self) -> int:
        """Pictures in the buffer."""
        return self._count

    @property
    def largest_picture_bytes(self) -> int:
        """What a picture may take when the buffer holds no other."""
        return self._pixels.size - ALIGNMENT

    def clear(self) -> None:
        """Forget all pictures; what ``packed`` and ``reserve`` gave is no longer theirs."""
        self._table[: self._count] = self._empty
        self._count, self._used, self._until = 0, ALIGNMENT, self._pixels.size

    def reserve(self, height: int, width: int, orientation: int = 1, eighths: int = 8) -> NDArray[np.uint8] | None:
        """Room for one more picture, for a decoder to write into.

        Args:
            height, width: in px, as the file says.
            orientation: EXIF's, still to be applied.
            eighths: of that size at which it will be decoded (``model_zoo.decode.jpeg_scale``).
        Returns:
            (decoded height, decoded width, channels), C-contiguous; None where the buffer or the table is full.
        Raises:
            ValueError: no buffer of this size could hold it, it has no pixels, or a number is not one of 1 to 8.
        """
        shape = self._shape(height, width, orientation, eighths)
        end = self._used + math.prod(shape)
        if end > self._until or self._count == len(self._table):
            return None
        self._add_row(height, width, orientation, eighths, self._used)
        room = self._pixels[self._used : end].reshape(shape)
        self._used = _aligned(end)
        return room

    def reserve_behind(self, height: int, width: int, orientation: int = 1) -> int | None:
        """A place for one that the device has decoded at its full size, behind all that is copied to it.

        Args:
            height, width, orientation: as ``reserve``.
        Returns:
            The byte of the buffer at which it begins; None where the buffer or the table is full.
        Raises:
            ValueError: as ``reserve``.
        """
        start = (self._until - math.prod(self._shape(height, width, orientation, 8))) // ALIGNMENT * ALIGNMENT
        if start < self._used or self._count == len(self._table):
            return None
        self._add_row(height, width, orientation, 8, start)
        self._until = start
        return start

    def add(self, image: NDArray[np.uint8], orientation: int = 1) -> bool:
        """Copy one more picture in, decoded at its full size; False where the buffer or the table is full.

        Args:
            image: (H, W, channels), as it is stored.
            orientation: EXIF's, still to be applied.
        Raises:
            ValueError: as ``reserve``, or the picture has other channels than the spec or is not uint8.
        """
        if image.ndim != 3 or image.shape[2] != self._spec.channels or image.dtype != np.uint8:
            raise ValueError(
                f"a picture of {image.shape}, {image.dtype}; the model takes {self._spec.channels} channels"
            )
        room = self.reserve(image.shape[0], image.shape[1], orientation)
        if room is None:
            return False
        room[...] = image
        return True

    def _shape(self, height: int, width: int, orientation: int, eighths: int) -> tuple[int, int, int]:
        if height < 1 or width < 1 or orientation not in ORIENTATIONS or eighths not in EIGHTHS:
            raise ValueError(f"no picture: {width}×{height} px at {eighths}/8 with EXIF orientation {orientation}")
        shape = (decoded_px(height, eighths), decoded_px(width, eighths), self._spec.channels)
        size = math.prod(shape)
        if size > self.largest_picture_bytes:
            raise ValueError(
                f"a picture of {width}×{height} px takes {size} bytes and the buffer has {self.largest_picture_bytes}"
            )
        return shape

    def _add_row(self, height: int, width: int, orientation: int, eighths: int, start: int) -> None:
        self._table[self._count] = row(width, height, orientation, eighths, self._spec, self._exact)
        self._table[self._count, Column.OFFSET] += start
        self._count += 1

    def packed(self, bucket: int) -> Packed:
        """The pictures so far, with rows of padding up to ``bucket``.

        Raises:
            ValueError: more pictures than that, or fewer rows.
        """
        if not self._count <= bucket <= len(self._table):
            raise ValueError(f"{self._count} pictures, {len(self._table)} rows: no batch of {bucket}")
        return Packed(self._pixels[: min(self._used, self._pixels.size)], self._table[:bucket], self._count)


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT
