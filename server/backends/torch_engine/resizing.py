"""Pictures of any sizes onto the device and into the network's pixels: packed, copied once, resized in one launch.

Those that the device has decoded are copied into places of the same buffer: what resizes reads one address, which a
recorded graph can keep.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model_zoo.decode import turn_upright
from model_zoo.preprocess import Stored, preprocess
from model_zoo.spec import InputSpec
from server.backends.ragged import resizer
from server.backends.ragged.pack import ALIGNMENT, Packer
from server.backends.ragged.table import COLUMNS
from server.backends.torch_engine.device import TorchDevice

LEVELS = 1  # of 0-255: how far the exact mode may be from the reference
FAST_LEVELS = 12  # a fault is more: between its passes it does not round, which hard edges make the most of
PROOF_SIZES = ((37, 53, 1), (300, 200, 6), (9, 400, 3), (150, 150, 8))  # height, width, EXIF orientation


class Resizing:
    """One instance's memory for pictures on their way, here and on the device."""

    def __init__(self, spec: InputSpec, limit: int, capacity_bytes: int, device: TorchDevice, *, exact: bool) -> None:
        self._spec = spec
        self._device = device
        self._exact = exact
        self._resize = resizer(str(device.place))
        self._bytes_here = device.staging((capacity_bytes // ALIGNMENT * ALIGNMENT,), torch.uint8)
        self._table_here = device.staging((limit, COLUMNS), torch.int64)
        self._bytes = torch.empty_like(self._bytes_here, device=device.place)
        self._table = torch.empty_like(self._table_here, device=device.place)
        self._packer = Packer(spec, self._bytes_here.numpy(), self._table_here.numpy(), exact=exact)
        with device.stream():  # rows that say where nothing lies: a recording begins by running all of them
            self._table.copy_(self._table_here)
        self._decoded_there: list[Tensor] = []  # of the batch that is packed, and where they belong
        self._places_there: list[Tensor] = []

    @property
    def largest_picture_bytes(self) -> int:
        """Of one decoded picture."""
        return self._packer.largest_picture_bytes

    def pack(self, pictures: Sequence[Stored]) -> int:
        """Take as many of them as there is room for, from the first on; returns how many, at least 1.

        Raises:
            ValueError: the first is larger than ``largest_picture_bytes``.
        """
        self._packer.clear()
        self._forget_decoded()
        for count, picture in enumerate(pictures):
            if not self._add(picture):
                return count
        return len(pictures)

    def copy_in(self, size: int) -> None:
        """Bring what was packed to the device, for a batch of ``size``, which is at least as many."""
        used = len(self._packer.packed(size).pixels)
        self._bytes[:used].copy_(self._bytes_here[:used], non_blocking=True)
        self._table[:size].copy_(self._table_here[:size], non_blocking=True)
        if self._places_there:
            torch._foreach_copy_(self._places_there, self._decoded_there, non_blocking=True)
            self._forget_decoded()  # their memory is given back on the stream, after the copy

    def resize_into(self, pixels: Tensor) -> None:
        """What was copied, to ``pixels``: uint8 (N, H, W, C) on the device; rows beyond it are filled, too.

        Reads the same memory every time, so that it can be recorded.
        """
        self._resize(self._bytes, self._table[: len(pixels)], pixels, self._spec)

    def _add(self, picture: Stored) -> bool:
        if isinstance(picture.pixels, Tensor):
            return self._add_decoded(picture, picture.pixels)
        room = self._packer.reserve(picture.height, picture.width, picture.orientation, picture.eighths)
        if room is None:
            return False
        room[...] = np.asarray(picture.pixels)
        return True

    def _add_decoded(self, picture: Stored, pixels: Tensor) -> bool:
        start = self._packer.reserve_behind(picture.height, picture.width, picture.orientation)
        if start is None:
            return False
        self._places_there.append(self._bytes[start : start + pixels.numel()].view(pixels.shape))
        self._decoded_there.append(pixels)
        return True

    def _forget_decoded(self) -> None:
        self._places_there.clear()
        self._decoded_there.clear()

    def refuse_other_pixels(self) -> None:
        """Hold a few pictures against the reference: compilers and drivers can be wrong about a kernel.

        Raises:
            RuntimeError: they differ by more than they may.
        """
        pictures = proof_pictures(len(PROOF_SIZES), self._spec.channels)
        spec = self._spec
        expected = [preprocess(turn_upright(np.asarray(one.pixels), one.orientation), spec) for one in pictures]
        start = 0
        while start < len(pictures):
            count = self.pack(pictures[start : start + len(self._table)])
            pixels = torch.empty(
                (count, spec.height, spec.width, spec.channels), dtype=torch.uint8, device=self._device.place
            )
            with torch.inference_mode(), self._device.stream():
                self.copy_in(count)
                self.resize_into(pixels)
                told = pixels.cpu().numpy().astype(np.int16)
            worst = int(np.abs(told - np.stack(expected[start : start + count])).max())
            if worst > (LEVELS if self._exact else FAST_LEVELS):
                raise RuntimeError(f"resized pixels differ from the reference's by up to {worst} levels")
            start += count


def proof_pictures(count: int, channels: int) -> list[Stored]:
    """At most so many of ``PROOF_SIZES``."""
    return [_picture(height, width, turn, channels) for height, width, turn in PROOF_SIZES[:count]]


def _picture(height: int, width: int, orientation: int, channels: int) -> Stored:
    """A smooth one with noise on it, always the same."""
    generator = np.random.default_rng(height * width)
    down, across = np.mgrid[0:height, 0:width]
    smooth = 128 + 80 * np.sin(down / 9)[..., None] * np.cos(across / 7)[..., None]
    noise = generator.normal(0, 10, (height, width, channels))
    pixels: NDArray[np.uint8] = np.clip(smooth + noise, 0, 255).astype(np.uint8)
    return Stored(pixels, height, width, 8, orientation)
