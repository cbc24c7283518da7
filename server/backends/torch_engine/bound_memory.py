"""Torch's memory under an ONNX Runtime session: one buffer for all sizes, pinned copies, a stream of its own.

A size is the beginning of the buffers, so that a batch is copied once whatever its size. Copies and runs stand in one
stream: none waits for another on the host, and the one wait at the end sleeps. Instances overlap, as each has its own.

Decoded pictures of any sizes are resized into that buffer, in the same stream (``resizing.py``); JPEGs are decoded for
it (``jpegs.py``).

Tensors that torch, or anything that speaks DLPack, already has on the device are read where they lie, and answers are
handed out where they were written (``lend``).
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.dlpack import from_dlpack

from model_zoo.header import Header
from model_zoo.preprocess import Stored
from model_zoo.spec import InputSpec
from server.backends.bound.memory import Layout, Outputs
from server.backends.bound.session import ANSWERS, PIXELS, Binding
from server.backends.errors import BackendError
from server.backends.extras import Decode
from server.backends.torch_engine.backend import PACKED_BYTES_EACH, PACKED_LEAST_BYTES, PACKED_MOST_BYTES
from server.backends.torch_engine.device import TorchDevice
from server.backends.torch_engine.jpegs import JpegDecoder, decoded_on
from server.backends.torch_engine.proven_decoder import proven_decoder
from server.backends.torch_engine.resizing import Resizing
from server.backends.torch_engine.stages import STAGES, WITHOUT_RESIZING, Stage, StageTimes


class TorchShare:
    """A device that torch reaches, too, and this instance's stream of it."""

    def __init__(self, device: TorchDevice) -> None:
        self.place = (device.place.type, device.place.index or 0)
        self.stream = _handle(device)
        self._device = device

    def memory(self, layout: Layout, sizes: Sequence[int]) -> "TorchMemory":
        """See ``Device``."""
        return TorchMemory(self._device, self.place, layout, max(sizes))


class TorchMemory:
    """Buffers on a device that torch knows; ``pixels`` is uint8 (largest size, H, W, C) and may be written to there."""

    def __init__(self, device: TorchDevice, place: tuple[str, int], layout: Layout, largest: int) -> None:
        self.device = device
        self._place = place
        self._layout = layout
        self._resizing: Resizing | None = None
        self._decoder: JpegDecoder | None = None
        self._times = StageTimes(device)
        self._begun: tuple[Stage, ...] = ()  # what the batch that is under way goes through
        self.device_seconds = self._times.seconds
        self.largest_picture_bytes = self.decoded_bytes = 0
        shape = (largest, *layout.picture)
        shapes = {name: (largest, *row) for name, row in layout.outputs.items()}
        self._pixels_here = device.staging(shape, torch.uint8)
        self._answers_here = {name: device.staging(shape, torch.float32) for name, shape in shapes.items()}
        with device.stream():
            self.pixels = torch.zeros(shape, dtype=torch.uint8, device=device.place)
            self._answers = {
                name: torch.zeros(shape, dtype=torch.float32, device=device.place) for name, shape in shapes.items()
            }
        device.wait()

    def bind(self, binding: Binding, size: int) -> None:
        """See ``Memory``."""
        self._bind(binding, self.pixels[:size], {name: whole[:size] for name, whole in self._answers.items()})

    def take_over(self, pixels: object) -> Tensor:
        """See ``SharedMemory``: who made them finishes before this thread's queue goes on, and that before ours."""
        given: Tensor = from_dlpack(pixels)
        self.device.follow()
        return given

    def hand_over(self, answers: Mapping[str, object]) -> None:
        """See ``SharedMemory``."""
        for one in answers.values():
            if isinstance(one, Tensor):
                self.device.hand_over(one)

    def lend(self, binding: Binding, pixels: object) -> tuple[object, dict[str, object]]:
        """See ``SharedMemory``."""
        with self.device.stream():
            given = from_dlpack(pixels)
            if given.dtype != torch.uint8 or given.shape[1:] != self._layout.picture or not given.is_contiguous():
                wanted = f"contiguous uint8 (N, {', '.join(map(str, self._layout.picture))})"
                raise BackendError(f"a batch must be {wanted}, not {given.dtype} {tuple(given.shape)}")
            if not 1 <= len(given) <= len(self.pixels):
                raise BackendError(f"a batch of {len(given)} pictures: this instance takes 1 to {len(self.pixels)}")
            if given.device != self.pixels.device:
                raise BackendError(f"the batch lies on {given.device}, this instance is on {self.pixels.device}")
            answers = {
                name: torch.empty((len(given), *row), dtype=torch.float32, device=self.device.place)
                for name, row in self._layout.outputs.items()
            }
        self._bind(binding, given, answers)
        return given, {**answers}

    def let_resize(self, spec: InputSpec, *, exact: bool) -> None:
        """See ``SharedMemory``."""
        largest = len(self.pixels)
        capacity = min(PACKED_MOST_BYTES, max(PACKED_LEAST_BYTES, largest * PACKED_BYTES_EACH))
        resizing = Resizing(spec, largest, capacity, self.device, exact=exact)
        resizing.refuse_other_pixels()
        self._resizing = resizing
        self.largest_picture_bytes = resizing.largest_picture_bytes

    def let_decode(self, spec: InputSpec, where: Decode) -> None:
        """See ``SharedMemory``."""
        self._decoder = proven_decoder("onnxruntime", self.device, spec, where, resizes=self._resizing is not None)
        self.decoded_bytes = self.largest_picture_bytes if self._decoder else 0

    def decode(self, pictures: Sequence[tuple[bytes | memoryview, Header]]) -> list[Stored | None]:
        """See ``SharedMemory``."""
        if self._decoder is None:
            raise ValueError("JPEGs are not decoded here")
        return decoded_on(self.device, self._decoder, pictures, self._layout.picture[-1])

    def pack(self, pictures: Sequence[Stored]) -> int:
        """See ``SharedMemory``."""
        if self._resizing is None:
            raise ValueError("pictures are not resized here")
        return self._resizing.pack(pictures)

    def resize(self, size: int) -> None:
        """See ``SharedMemory``."""
        if self._resizing is None:
            raise ValueError("pictures are not resized here")
        with torch.inference_mode(), self.device.stream():
            self._times.begin()
            self._resizing.copy_in(size)
            self._times.end("copy_in")
            self._resizing.resize_into(self.pixels[:size])
            self._times.end("preprocess")
        self._begun = STAGES

    def upload(self, batch: NDArray[np.uint8], size: int) -> None:
        """Queue the copy; rows after the last picture keep what was there."""
        count = len(batch)
        self._pixels_here[:count].numpy()[:] = batch
        with self.device.stream():
            self._times.begin()
            self.pixels[:count].copy_(self._pixels_here[:count], non_blocking=True)
            self._times.end("copy_in")
        self._begun = WITHOUT_RESIZING

    def download(self, names: Sequence[str], count: int, size: int) -> Outputs:
        """See ``Memory``; sleeps until all is done."""
        with self.device.stream():
            self._times.end("run")
            for name in names:
                self._answers_here[name][:count].copy_(self._answers[name][:count], non_blocking=True)
            self._times.end("copy_out")
        self._times.finish(self._begun)
        self._begun = ()
        return tuple([np.array(self._answers_here[name][:count].numpy()) for name in names])

    def forget(self, size: int) -> None:
        """See ``Memory``."""
        with self.device.stream():
            for whole in self._answers.values():
                whole[:size].fill_(torch.nan)

    def drop(self, size: int) -> None:
        """The buffers are those of all sizes; what torch has cached goes back."""
        self.device.release()

    def _bind(self, binding: Binding, pixels: Tensor, answers: dict[str, Tensor]) -> None:
        binding.bind_input(self._layout.input_name, *self._place, PIXELS, tuple(pixels.shape), pixels.data_ptr())
        for name, one in answers.items():
            binding.bind_output(name, *self._place, ANSWERS, tuple(one.shape), one.data_ptr())


def _handle(device: TorchDevice) -> int:
    if device.place.type != "cuda":
        return 0
    with device.stream():
        return int(torch.cuda.current_stream(device.place).cuda_stream)
