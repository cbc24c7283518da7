"""Where a session reads pixels and writes answers: memory that keeps its address, which recorded graphs demand.

``Device`` and its ``Memory`` are the seam between batches and a device. ``FixedMemory`` needs ONNX Runtime alone: a
value of its own for each size, plain copies that wait. ``torch_engine/bound_memory.py`` has one buffer for all sizes,
pinned memory and a stream of its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from model_zoo.bundle import Bundle
from model_zoo.header import Header
from model_zoo.preprocess import Stored
from model_zoo.spec import InputSpec
from server.backends.batches import padded
from server.backends.bound.session import ANSWERS, PIXELS, Binding, Value
from server.backends.extras import Decode

Outputs = tuple[NDArray[np.float32], ...]


@dataclass(frozen=True, slots=True)
class Layout:
    """One picture: the input's name and shape (height, width, channels), and the shape of each output by its name."""

    input_name: str
    picture: tuple[int, ...]
    outputs: dict[str, tuple[int, ...]]


def layout_of(bundle: Bundle, input_name: str) -> Layout:
    """The shapes that the bundle's own check has; a graph that gives others fails when it is bound."""
    spec = bundle.spec.input
    answers = bundle.check().outputs
    outputs = {output.name: answers[output.name].shape[1:] for output in bundle.spec.outputs}
    return Layout(input_name, (spec.height, spec.width, spec.channels), outputs)


class Memory(Protocol):
    """Of one instance. Used by one thread at a time."""

    def bind(self, binding: Binding, size: int) -> None:
        """Let it read the first ``size`` pictures and write as many answers; the addresses never change."""

    def upload(self, batch: NDArray[np.uint8], size: int) -> None:
        """Bring (N, H, W, C) to where the binding of ``size`` reads them; N at most ``size``."""

    def download(self, names: Sequence[str], count: int, size: int) -> Outputs:
        """The first ``count`` rows of what that binding wrote, once it is written; they stay as they are."""

    def forget(self, size: int) -> None:
        """Write something else over what that binding wrote: not a number."""

    def drop(self, size: int) -> None:
        """That size is not used any more."""


@runtime_checkable
class SharedMemory(Memory, Protocol):
    """One that others on the device can read and write.

    ``largest_picture_bytes`` is that of a decoded picture that it can resize; 0: none. ``decoded_bytes`` is how much
    of JPEGs' pixels it takes at once; 0: it decodes none. ``device_seconds`` are the device's own, by stage, of all
    batches so far.
    """

    largest_picture_bytes: int
    decoded_bytes: int
    device_seconds: Mapping[str, float]

    def lend(self, binding: Binding, pixels: object) -> tuple[object, dict[str, object]]:
        """Let it read ``pixels`` where they lie: anything with DLPack, uint8 (N, H, W, C), contiguous, on this device.

        Returns:
            What must be kept until the run is done; and new tensors on the device, float32 (N, …), which it will write.
        Raises:
            BackendError: other pixels, or on another device.
        """

    def take_over(self, pixels: object) -> object:
        """The same pixels for ``lend``, which another thread may call: to be called by the thread that has them.

        Raises:
            Exception: what has no DLPack.
        """

    def hand_over(self, answers: Mapping[str, object]) -> None:
        """Answers of ``lend`` are used by the calling thread from now on."""

    def let_resize(self, spec: InputSpec, *, exact: bool) -> None:
        """Take memory for decoded pictures, and hold a few of them, resized, against the reference.

        Raises:
            RuntimeError: they differ by more than they may; compilers and drivers fail in any way.
        """

    def let_decode(self, spec: InputSpec, where: Decode) -> None:
        """Decode JPEGs from now on, if that is to be and gives the right pixels; the log says why not."""

    def decode(self, pictures: Sequence[tuple[bytes | memoryview, Header]]) -> list[Stored | None]:
        """See ``DecodingBackend.decode``.

        Raises:
            Exception: none could be decoded.
        """

    def pack(self, pictures: Sequence[Stored]) -> int:
        """Take decoded pictures of any sizes, as many as there is room for; returns how many, at least 1.

        Raises:
            ValueError: the first is larger than ``largest_picture_bytes``.
        """

    def resize(self, size: int) -> None:
        """Queue bringing what was packed to where the binding of ``size`` reads it."""


class Device(Protocol):
    """One instance's share of a device.

    ``place`` is its name and number, as ONNX Runtime has them; ``stream`` the CUDA stream that the session is to run
    on, 0 for one of its own choice.
    """

    place: tuple[str, int]
    stream: int

    def memory(self, layout: Layout, sizes: Sequence[int]) -> Memory:
        """Take it, for batches of these sizes."""


class FixedDevice:
    """A device that ONNX Runtime reaches by itself."""

    stream = 0

    def __init__(self, module: ModuleType, place: tuple[str, int]) -> None:
        self.place = place
        self._module = module

    def memory(self, layout: Layout, sizes: Sequence[int]) -> Memory:
        """Values of ONNX Runtime."""
        return FixedMemory(self._module, self.place, layout, sizes)


class FixedMemory:
    """Values of ONNX Runtime."""

    def __init__(self, module: ModuleType, place: tuple[str, int], layout: Layout, sizes: Sequence[int]) -> None:
        self._layout = layout
        make = module.OrtValue.ortvalue_from_shape_and_type
        picture = layout.picture
        self._pixels: dict[int, Value] = {size: make((size, *picture), PIXELS, *place) for size in sizes}
        self._answers: dict[int, dict[str, Value]] = {
            size: {name: make((size, *shape), ANSWERS, *place) for name, shape in layout.outputs.items()}
            for size in sizes
        }

    def bind(self, binding: Binding, size: int) -> None:
        """See ``Memory``."""
        binding.bind_ortvalue_input(self._layout.input_name, self._pixels[size])
        for name, value in self._answers[size].items():
            binding.bind_ortvalue_output(name, value)

    def upload(self, batch: NDArray[np.uint8], size: int) -> None:
        """Wait for the copy, with black pictures after the last."""
        self._pixels[size].update_inplace(padded(batch, size))

    def download(self, names: Sequence[str], count: int, size: int) -> Outputs:
        """The session waited for its run; this waits for the copy."""
        return tuple([np.array(self._answers[size][name].numpy(), np.float32)[:count] for name in names])

    def forget(self, size: int) -> None:
        """See ``Memory``."""
        for name, shape in self._layout.outputs.items():
            self._answers[size][name].update_inplace(np.full((size, *shape), np.nan, np.float32))

    def drop(self, size: int) -> None:
        """See ``Memory``."""
        self._pixels.pop(size, None)
        self._answers.pop(size, None)
