"""What running batches needs of a device: memory, a stream, recorded graphs, times, and waiting that burns no core.

``TorchDevice`` is the seam: CUDA's does it all, the CPU's runs at once and records nothing, and the tests have one
that fails when asked to.
"""

import threading
import time
import weakref
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

import torch
from torch import Tensor

from server.backends.cuda_process import RECORDING, ran_out_of_memory

Launch = Callable[[], None]

WARM_UPS = 3  # runs before one is recorded: libraries choose their kernels and take their memory in the first
_STREAMS = 32  # torch hands out so many on a device, in turns
_drawing = threading.Lock()
_living: "weakref.WeakSet[CudaDevice]" = weakref.WeakSet()


def memory_ran_out(error: RuntimeError) -> bool:
    """Of torch's allocator, or of CUDA and its libraries, for which torch has no exception of its own."""
    return isinstance(error, torch.OutOfMemoryError) or ran_out_of_memory(error)


class TorchDevice(Protocol):
    """One instance's share of a device. Used by one thread at a time."""

    place: torch.device
    records: bool

    def staging(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """Memory of the host from which copies to the device do not wait."""

    def stream(self) -> AbstractContextManager[object]:
        """Inside, work goes to this instance's own queue of the device."""

    def follow(self) -> None:
        """What the calling thread asked the device for so far comes before what this queue is asked for next."""

    def hand_over(self, made: Tensor) -> None:
        """Made on this queue, and read by what the calling thread asks for: its memory is not used again before."""

    def record(self, work: Launch) -> Launch:
        """Run ``work`` a few times, then write down what it asks of the device; what is returned asks it again."""

    def mark(self, stage: str) -> None:
        """Note when the current queue comes to the end of a stage; may be recorded with the work around it."""

    def elapsed_s(self, begin: str, end: str) -> float:
        """Seconds of the device between two marks that it came to; after ``wait``."""

    def wait(self) -> None:
        """Until the queue is empty; other threads run meanwhile."""

    def release(self) -> None:
        """Give cached memory back."""


class CpuDevice:
    """Runs where it is called; ``threads`` inside one run."""

    place = torch.device("cpu")
    records = False

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._set = threading.local()
        self._marks: dict[str, float] = {}

    def staging(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """Any memory."""
        return torch.empty(shape, dtype=dtype)

    def stream(self) -> AbstractContextManager[object]:
        """Nothing to switch; torch keeps its number of threads for each calling thread."""
        if not hasattr(self._set, "done"):
            torch.set_num_threads(self._threads)
            self._set.done = True
        return nullcontext()

    def follow(self) -> None:
        """Everything is done when it is asked for."""

    def hand_over(self, made: Tensor) -> None:
        """So is this."""

    def record(self, work: Launch) -> Launch:
        """A CPU has no graphs.

        Raises:
            RuntimeError: always.
        """
        raise RuntimeError("a CPU records no graphs")

    def mark(self, stage: str) -> None:
        """This moment, as all is done at once."""
        self._marks[stage] = time.perf_counter()

    def elapsed_s(self, begin: str, end: str) -> float:
        """By the host's clock."""
        return self._marks[end] - self._marks[begin]

    def wait(self) -> None:
        """All is done."""

    def release(self) -> None:
        """Nothing is cached."""


class CudaDevice:
    """A stream of one GPU, and a pool of memory for the graphs recorded on it."""

    records = True

    def __init__(self, number: int) -> None:
        self.place = torch.device("cuda", number)
        self._take_stream()
        self._pool = torch.cuda.graph_pool_handle()
        self._done = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
        self._marks: dict[str, torch.cuda.Event] = {}

    def staging(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """Pinned."""
        return torch.empty(shape, dtype=dtype, pin_memory=True)

    def _take_stream(self) -> None:
        """One that no living instance has, while there are such: recordings hold all that is asked of their stream."""
        with _drawing:
            taken = {one._stream.cuda_stream for one in _living if one.place == self.place}
            for _ in range(_STREAMS):
                self._stream: torch.cuda.Stream = torch.cuda.Stream(self.place)  # type: ignore[no-untyped-call]
                if self._stream.cuda_stream not in taken:
                    break
            _living.add(self)

    def follow(self) -> None:
        """The instance's queue waits for what the calling thread has asked for so far."""
        self._stream.wait_stream(torch.cuda.current_stream(self.place))

    def hand_over(self, made: Tensor) -> None:
        """Memory made on the instance's queue is used by the calling thread's from now on."""
        made.record_stream(torch.cuda.current_stream(self.place))

    def stream(self) -> AbstractContextManager[object]:
        """This instance's."""
        return torch.cuda.stream(self._stream)

    def record(self, work: Launch) -> Launch:
        """A CUDA graph, from the instance's pool."""
        graph = torch.cuda.CUDAGraph()
        with RECORDING:
            with torch.cuda.stream(self._stream):
                for _ in range(WARM_UPS):
                    work()
            self._stream.synchronize()
            try:
                as_before = torch.cuda.stream(torch.cuda.current_stream(self.place))
                with (
                    as_before,  # a recording that fails would leave its own set
                    torch.cuda.graph(graph, self._pool, self._stream, capture_error_mode="thread_local"),
                ):
                    work()
            except RuntimeError as error:
                if isinstance(error.__context__, torch.OutOfMemoryError):  # ending the recording failed because of it
                    raise error.__context__ from error
                raise
        return graph.replay

    def mark(self, stage: str) -> None:
        """An event; ``external`` makes it a node of a graph that is being recorded, with a time at every replay."""
        if stage not in self._marks:
            self._marks[stage] = torch.cuda.Event(enable_timing=True, external=True)  # type: ignore[no-untyped-call]
        self._marks[stage].record(torch.cuda.current_stream(self.place))

    def elapsed_s(self, begin: str, end: str) -> float:
        """By the GPU's clock, to half a microsecond."""
        milliseconds: float = self._marks[begin].elapsed_time(self._marks[end])
        return milliseconds / 1e3

    def wait(self) -> None:
        """Sleeps until the last work of the stream is done."""
        self._done.record(self._stream)
        self._done.synchronize()

    def release(self) -> None:
        """Torch's cache of this process."""
        torch.cuda.empty_cache()
