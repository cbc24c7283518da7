"""The backend ``onnxruntime`` where a batch's memory is bound: on CUDA and TensorRT, elsewhere when asked for.

Batches run in buckets of fixed size (``runner.py``), in the first of some ways that works (``ways.py``,
``opening.py``). Out of memory: the bucket is given up and the batch run once more, in parts.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from model_zoo.bundle import Bundle
from model_zoo.header import Header
from model_zoo.preprocess import Stored
from server.backends import output_names
from server.backends.batches import refuse_odd_batch
from server.backends.bound.memory import Outputs, SharedMemory
from server.backends.bound.own_thread import OwnThread
from server.backends.bound.runner import BoundRunner
from server.backends.bound.session import Faults, short
from server.backends.buckets import in_parts
from server.backends.cuda_process import ran_out_of_memory
from server.backends.errors import BackendError


class BoundBackend:
    """One instance; used by one thread at a time. ``largest_batch`` falls where the device's memory is too small.

    ``batch_sizes`` are those that are prepared, rising; ``mode`` is the way it runs.
    """

    name = "onnxruntime"

    def __init__(
        self,
        runner: BoundRunner,
        thread: OwnThread,
        faults: Faults,
        bundle: Bundle,
        limit: int,
        mode: str,
        *,
        shares_decoding: bool,
    ) -> None:
        self.device = runner.device.place[0]
        self.precision: str = bundle.spec.precision
        self.mode = mode
        shared = runner.memory if isinstance(runner.memory, SharedMemory) else None
        self.largest_picture_bytes = shared.largest_picture_bytes if shared else 0
        self.decoded_bytes = shared.decoded_bytes if shared else 0
        self.shares_decoding = shares_decoding
        self.device_seconds: Mapping[str, float] = shared.device_seconds if shared else {}
        self.batch_sizes = runner.buckets.sizes
        self._runner: BoundRunner | None = runner
        self._thread = thread
        self._faults = faults
        self._input = bundle.spec.input
        self._limit = limit
        self._names = {explain: output_names(bundle.spec, explain=explain) for explain in (False, True)}

    @property
    def largest_batch(self) -> int:
        """The most pictures that still run together."""
        return min(self._limit, self._runner.buckets.largest) if self._runner else 0

    def run(self, batch: NDArray[np.uint8], explain: bool = False) -> tuple[NDArray[np.float32], ...]:
        """See ``Backend.run``."""
        refuse_odd_batch(batch, self._input, self._limit)
        names = self._names[explain]

        def part(runner: BoundRunner, start: int) -> Outputs:
            return runner.run(batch[start : start + runner.buckets.largest], names)

        return self._in_parts(part, len(batch))

    def run_stored(self, pictures: Sequence[Stored], explain: bool = False) -> tuple[NDArray[np.float32], ...]:
        """See ``PreparingBackend.run_stored``."""
        if not 1 <= len(pictures) <= self._limit:
            raise BackendError(f"a batch of {len(pictures)} pictures: this instance takes 1 to {self._limit}")
        names = self._names[explain]
        return self._in_parts(lambda runner, start: runner.run_stored(pictures[start:], names), len(pictures))

    def decode(self, pictures: Sequence[tuple[bytes | memoryview, Header]]) -> list[Stored | None]:
        """See ``DecodingBackend.decode``."""
        memory = self._open().memory
        if not isinstance(memory, SharedMemory):
            raise BackendError("this instance decodes nothing")
        try:
            return memory.decode(pictures)
        except Exception as error:  # drivers and libraries fail in any way
            raise BackendError(f"onnxruntime could not decode {len(pictures)} JPEGs: {short(error)}") from error

    def run_on_device(self, pixels: object, explain: bool = False) -> tuple[object, ...]:
        """As ``run``, of pixels that lie on the device: nothing is copied, neither in nor out.

        Args:
            pixels: anything with DLPack: uint8 (N, height, width, channels), contiguous, on this instance's device.
            explain: as ``run``.
        Returns:
            One torch tensor per output, float32 (N, …), on the device; they speak DLPack, too, and are the caller's.
        Raises:
            BackendError: the engine failed; other pixels; or the memory is not torch's (``onnxruntime.memory``).
        """
        runner = self._open()
        try:
            shared = runner.memory if isinstance(runner.memory, SharedMemory) else None
            given = pixels if shared is None else shared.take_over(pixels)
            answers = self._thread.run(lambda: runner.run_lent(given))
            if shared is not None:
                shared.hand_over(answers)
        except self._faults as error:
            raise BackendError(f"onnxruntime failed on pixels of the device: {short(error)}") from error
        return tuple(answers[name] for name in self._names[explain])

    def launch(self, size: int) -> None:
        """Run a prepared size on what lies in its place, and wait: for measuring.

        Raises:
            Exception: the engine's own.
        """
        runner = self._open()
        self._thread.run(lambda: runner.run_uploaded(size, ()))

    def close(self) -> None:
        """Drop the session and its memory; a second time does nothing."""
        self._runner = None
        self._thread.close()

    def _in_parts(self, part: Callable[[BoundRunner, int], Outputs], images: int) -> tuple[NDArray[np.float32], ...]:
        """Run them all; where memory runs out, with smaller buckets once more."""
        runner = self._open()

        def whole() -> list[Outputs]:
            try:
                return in_parts(lambda start: part(runner, start), images)
            except self._faults as error:
                smaller = ran_out_of_memory(error) and runner.lower(
                    runner.buckets.fit(min(images, runner.buckets.largest))
                )
                if not smaller:
                    raise
            return in_parts(lambda start: part(runner, start), images)

        try:
            parts = self._thread.run(whole)
        except self._faults as error:
            raise BackendError(f"onnxruntime failed on a batch of {images}: {short(error)}") from error
        return tuple([np.concatenate(rows) for rows in zip(*parts, strict=True)]) if len(parts) > 1 else parts[0]

    def _open(self) -> BoundRunner:
        if self._runner is None:
            raise BackendError("this instance is closed")
        return self._runner
