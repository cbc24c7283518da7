"""Tensors of more calibration pictures than memory should hold: codes on disk, values made anew at each reading.

A calibration reads each tensor a few times, from its first picture to its last. So codes,
a byte each (four of a tensor that stays in float), wait in a temporary file, and the values that
they are computed from, four bytes each, are kept only where they are few; otherwise they are computed once more.
Memory then depends on the net and not on how many pictures there are; the disk holds the
codes of those tensors that later layers still need.
"""

import math
import os
import tempfile
from collections.abc import Callable, Iterator
from typing import IO

import torch
from torch import Tensor

CHUNK = 8
KEPT_BYTES = 64 << 20


class Codes:
    """A tensor's codes, whole numbers (N, …), in a file without a name, which ends with this."""

    def __init__(self, parts: Iterator[Tensor]) -> None:
        """
        Raises:
            OSError: the disk is full.
        """
        self._file: IO[bytes] = tempfile.TemporaryFile(prefix="quickeye-codes-")  # noqa: SIM115
        self._shape: tuple[int, ...] = ()
        self._lengths: list[int] = []
        self._dtype = torch.uint8
        for part in parts:
            self._dtype = part.dtype
            self._shape = tuple(part.shape[1:])
            self._lengths.append(len(part))
            self._file.write(part.contiguous().numpy().data)
        self._file.flush()

    def __len__(self) -> int:
        """How many pictures."""
        return sum(self._lengths)

    def __iter__(self) -> Iterator[Tensor]:
        """A few pictures at a time; two may read at once."""
        place = 0
        for length in self._lengths:
            size = length * math.prod(self._shape) * self._dtype.itemsize
            part = bytearray(os.pread(self._file.fileno(), size, place))
            place += size
            yield torch.frombuffer(part, dtype=self._dtype).view(length, *self._shape)

    def close(self) -> None:
        """Give the disk's room back."""
        self._file.close()


class Values:
    """float32 (N, …), which can be read again and again; computed at each reading unless they are few."""

    def __init__(self, make: Callable[[], Iterator[Tensor]]) -> None:
        """
        Args:
            make: computes them from the first picture on, a few at a time; always the same.
        """
        self._make = make
        self._kept: list[Tensor] | None = None
        self._too_many = False

    def __iter__(self) -> Iterator[Tensor]:
        """float32, a few pictures at a time."""
        if self._kept is not None:
            yield from self._kept
            return
        kept: list[Tensor] = []
        size = 0
        for part in self._make():
            values = part.float()
            yield values
            size += values.numel() * 4
            if size > KEPT_BYTES:
                self._too_many = True
                kept.clear()
            if not self._too_many:
                kept.append(values)
        if not self._too_many:
            self._kept = kept
