"""Batches through an ONNX Runtime session in buckets: one binding a size, made once, and where possible one recording.

A recording is chosen by its number (``gpu_graph_id``, here the size; -1 runs without), and reads and writes the
addresses of the binding it was made with. The runtime makes it within one run: twice as usual, so that all memory is
taken, then recording. Replayed, it skips all of the runtime's own work.

Three rules of the runtime's shape this:

- It keeps recordings per thread. Whoever prepares a recorded runner must run it, so the instance has a thread of its
  own (``own_thread.py``).
- While it records, another thread of the process that takes memory of the GPU fails, and so may the recording. They
  are made when a model is loaded, one at a time.
- Memory between the layers is the session's arena's, and recordings go on using what the arena counts as free. It is
  never shrunk where there are recordings.
"""

import logging
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from model_zoo.preprocess import Stored
from server.backends.bound.memory import Device, Layout, Outputs, SharedMemory
from server.backends.bound.session import Binding, BoundSession, Runtime
from server.backends.buckets import Buckets
from server.backends.cuda_process import RECORDING, ran_out_of_memory
from server.backends.errors import BackendError

log = logging.getLogger("quickeye.backends")

AGREEMENT = 0.02  # of the largest value of an output
UNRECORDED = "-1"


class BoundRunner:
    """One session, prepared for some sizes. Used by one thread; ``buckets`` shrink when memory runs out."""

    def __init__(
        self,
        runtime: Runtime,
        session: BoundSession,
        device: Device,
        layout: Layout,
        sizes: Sequence[int],
        *,
        recorded: bool,
    ) -> None:
        self.buckets = Buckets(list(sizes))
        self.memory = device.memory(layout, sizes)
        self.device = device
        self._runtime = runtime
        self._session = session
        self._layout = layout
        self._recorded = recorded
        self._bindings: dict[int, Binding] = {}
        self._options: dict[int, object] = {}
        self._shrink = False
        # The smallest second: TensorRT then builds for all sizes at once, not anew for each smaller one.
        for size in sorted(sizes, key=lambda size: (size != max(sizes), size != min(sizes), -size)):
            if size in self.buckets.sizes:
                self._prepare(size)

    def run(self, batch: NDArray[np.uint8], names: Sequence[str]) -> Outputs:
        """uint8 (N, H, W, C) → the outputs of these names, N rows each; N at most the largest bucket.

        Raises:
            Exception: one of ``Runtime.faults``.
        """
        size = self.buckets.fit(len(batch))
        self.memory.upload(batch, size)
        return self.run_uploaded(len(batch), names)

    def run_uploaded(self, count: int, names: Sequence[str]) -> Outputs:
        """As ``run``, of what already lies in the first ``count`` places."""
        size = self.buckets.fit(count)
        self._launch(size)
        return self.memory.download(names, count, size)

    def run_stored(self, pictures: Sequence[Stored], names: Sequence[str]) -> Outputs:
        """As ``run``, of decoded pictures: of as many, from the first on, as there is room for.

        Raises:
            ValueError: the first is larger than all room.
        """
        memory = self._shared()
        count = memory.pack(pictures[: self.buckets.largest])
        memory.resize(self.buckets.fit(count))
        return self.run_uploaded(count, names)

    def run_lent(self, pixels: object) -> dict[str, object]:
        """As ``run``, of any pixels on the device, read where they lie; the outputs are new tensors there.

        Raises:
            BackendError: not such pixels, or the memory is not torch's.
        """
        binding = self._session.io_binding()
        kept, answers = self._shared().lend(binding, pixels)
        self._session.run_with_iobinding(binding, self._runtime.run_options(self._entries(UNRECORDED, waits=True)))
        del kept
        return answers

    def lower(self, below: int) -> bool:
        """Give up the buckets from ``below`` on and, where it can be had, their memory; False where it is the last."""
        dropped = [size for size in self.buckets.sizes if size >= below]
        if not self.buckets.lower(below):
            return False
        for size in dropped:
            self._bindings.pop(size, None)
            self._options.pop(size, None)
            self.memory.drop(size)
        self._shrink = not self._recorded
        return True

    def _shared(self) -> SharedMemory:
        if not isinstance(self.memory, SharedMemory):
            raise BackendError("pictures on the device need onnxruntime.memory=torch")
        return self.memory

    def _prepare(self, size: int) -> None:
        try:
            binding = self._bindings[size] = self._session.io_binding()
            self.memory.bind(binding, size)
            self._options[size] = self._runtime.run_options(self._entries(str(size)))
            if self._recorded:
                with RECORDING:
                    self._record(size)
            else:
                self._launch(size)
                self.memory.download((), 0, size)
        except self._runtime.faults as error:
            if not ran_out_of_memory(error) or not self.lower(size):
                raise
            log.warning("no memory for batches of %d pictures: at most %d run together", size, self.buckets.largest)

    def _record(self, size: int) -> None:
        """Record a run, and hold its replay against a run without.

        Raises:
            RuntimeError: the answers are not the same.
        """
        names = list(self._layout.outputs)
        pixels = np.random.default_rng(size).integers(0, 256, (size, *self._layout.picture), np.uint8)
        self._launch(size)
        self.memory.upload(pixels, size)
        plain = self._runtime.run_options(self._entries(UNRECORDED))
        self._session.run_with_iobinding(self._bindings[size], plain)
        expected = self.memory.download(names, size, size)
        self.memory.forget(size)
        self._launch(size)
        told = self.memory.download(names, size, size)
        for name, one, other in zip(names, told, expected, strict=True):
            error = float(np.abs(one - other).max() / max(float(np.abs(other).max()), 1e-6))
            if not error <= AGREEMENT:
                raise RuntimeError(f"batches of {size}: recorded, '{name}' differs from plain runs by {error:.2%}")

    def _launch(self, size: int) -> None:
        options = self._options[size]
        if self._shrink:
            self._shrink = False
            kind, number = self.device.place
            shrink = {"memory.enable_memory_arena_shrinkage": f"{'cpu' if kind == 'cpu' else 'gpu'}:{number}"}
            options = self._runtime.run_options(self._entries(str(size)) | shrink)
        self._session.run_with_iobinding(self._bindings[size], options)

    def _entries(self, graph: str, *, waits: bool = False) -> dict[str, str]:
        """Copies in the run's own stream come after it by themselves: then the run need not wait for the device."""
        entries = {"gpu_graph_id": graph} if self._recorded else {}
        if self.device.stream and not waits:
            entries["disable_synchronize_execution_providers"] = "1"
        return entries
