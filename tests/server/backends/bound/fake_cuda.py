"""An ONNX Runtime that pretends to have CUDA: real sessions on the CPU, recordings kept and replayed as CUDA's are.

A recording belongs to the thread that made it, and replays the binding it was made with, whichever is given. ``Faults``
says what goes wrong.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from server.backends.bound.session import Binding, BoundSession, GraphValue, Runtime
from server.backends.errors import BackendLoadError
from server.backends.onnxruntime_providers import NAMES, Provider

NO_MEMORY = (
    "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Non-zero status code returned while running Conv node. "
    "BFCArena::AllocateRawInternal(size_t, bool) Failed to allocate memory for requested buffer of size 8388608000"
)
PROVIDERS = [Provider(NAMES["cuda"], {"device_id": "0"}), Provider(NAMES["cpu"])]


@dataclass
class Faults:
    """What goes wrong in a session: each gets its CUDA provider's options.

    ``opening`` and ``recording`` may raise; ``stale`` makes replays do nothing; ``wrong`` says whether the session gets
    another graph; ``largest`` is the most pictures that memory holds.
    """

    opening: Callable[[dict[str, str]], None] = lambda options: None
    recording: Callable[[dict[str, str]], None] = lambda options: None
    stale: bool = False
    wrong: Callable[[dict[str, str]], bool] = lambda options: False
    largest: int = 1 << 30


@dataclass(frozen=True)
class Run:
    """What a session was asked for: ``graph`` is None where it was not said, ``entries`` all that was."""

    graph: int | None
    rows: int
    thread: int
    kind: str  # plain, recording, replay
    entries: dict[str, str]


@dataclass
class FakeBinding:
    """A real one, and how many rows it has."""

    real: Binding
    rows: int = 0

    def bind_input(self, name: str, kind: str, number: int, element: str, shape: Sequence[int], pointer: int) -> None:
        self.rows = shape[0]
        self.real.bind_input(name, kind, number, element, shape, pointer)

    def bind_output(self, name: str, kind: str, number: int, element: str, shape: Sequence[int], pointer: int) -> None:
        self.real.bind_output(name, kind, number, element, shape, pointer)

    def bind_ortvalue_input(self, name: str, value: onnxruntime.OrtValue) -> None:
        self.rows = value.shape()[0]
        self.real.bind_ortvalue_input(name, value)

    def bind_ortvalue_output(self, name: str, value: onnxruntime.OrtValue) -> None:
        self.real.bind_ortvalue_output(name, value)


class RunOptions(SimpleNamespace):
    """``onnxruntime.RunOptions``, whose entries can be read."""

    def __init__(self) -> None:
        super().__init__(entries={})

    def add_run_config_entry(self, key: str, value: str) -> None:
        self.entries[key] = value


@dataclass
class FakeSession:
    """One on the CPU that keeps what it is asked for."""

    real: onnxruntime.InferenceSession
    options: dict[str, str]
    faults: Faults
    runs: list[Run] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._recordings: dict[tuple[int, int], FakeBinding] = {}

    def get_inputs(self) -> list[GraphValue]:
        found: list[GraphValue] = self.real.get_inputs()
        return found

    def io_binding(self) -> FakeBinding:
        return FakeBinding(self.real.io_binding())

    def run_with_iobinding(self, iobinding: Binding, run_options: object = None) -> None:
        if not isinstance(iobinding, FakeBinding) or not isinstance(run_options, RunOptions):
            raise TypeError("another runtime's binding or options")
        entries = run_options.entries
        graph = int(entries["gpu_graph_id"]) if "gpu_graph_id" in entries else None
        if iobinding.rows > self.faults.largest:
            raise RuntimeError(NO_MEMORY)
        recorded = graph not in (None, -1)
        if recorded and "enable_cuda_graph" not in self.options and "trt_cuda_graph_enable" not in self.options:
            raise AssertionError("a number of a recording without recordings")
        key = (threading.get_ident(), graph or 0)
        kind = "plain" if not recorded else "replay" if key in self._recordings else "recording"
        self.runs.append(Run(graph, iobinding.rows, key[0], kind, entries))
        if kind == "recording":
            self.faults.recording(self.options)
            self._recordings[key] = iobinding
        if kind != "replay":
            self.real.run_with_iobinding(iobinding.real)
        elif not self.faults.stale:
            self.real.run_with_iobinding(self._recordings[key].real)


class FakeCuda:
    """``runtime`` opens sessions of one graph; ``sessions`` are those that were opened."""

    def __init__(self, graph: bytes, faults: Faults, other_graph: bytes = b"") -> None:
        self.sessions: list[FakeSession] = []
        self.asked: list[list[Provider]] = []
        module = SimpleNamespace(RunOptions=RunOptions, OrtValue=onnxruntime.OrtValue)

        def open_session(providers: Sequence[Provider]) -> BoundSession:
            self.asked.append(list(providers))
            options = providers[0].options
            try:
                faults.opening(options)
            except RuntimeError as error:
                raise BackendLoadError(f"onnxruntime does not take the graph: {error}") from error
            data = other_graph if faults.wrong(options) else graph
            real = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
            self.sessions.append(FakeSession(real, options, faults))
            return self.sessions[-1]

        self.runtime = Runtime(module, (RuntimeError, ValueError), open_session)  # type: ignore[arg-type]

    @property
    def runs(self) -> list[Run]:
        """Of the session opened last."""
        return self.sessions[-1].runs


def pictures(count: int, height: int = 16, width: int = 12) -> NDArray[np.uint8]:
    """Random ones: (count, height, width, 3)."""
    return np.random.default_rng(count).integers(0, 256, (count, height, width, 3), np.uint8)
