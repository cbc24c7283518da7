"""The graphs that instances of one model share on OpenVINO, and the import of the library.

Static shapes. A graph compiled for one batch size runs 9 % (batches of eight) to 18 %
(single pictures) faster than one that takes any. Compiling takes 0.6 s and 30–80 MB each,
so there are two per model: one picture, and the largest batch. What lies between runs
picture by picture, which costs no more than a graph of open size would.

Shared by instances. Instances of one model share these graphs and have an
infer request each: half the memory, and the second instance loads at once. As
many streams are opened as instances could be busy, each with the threads of one
instance; threads are not pinned, or two processes would sit on one core.

Two traps of the library, both avoided: importing
it sends a usage event to its maker unless its conversion tools are kept out; and two
threads that make their very first tensor at the same time can lock each other out
for ever, so ``openvino.load`` makes the first under a lock.
"""

import sys
from dataclasses import dataclass
from types import ModuleType
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from model_zoo.bundle import Bundle
from server.backends.errors import BackendLoadError, BackendUnavailableError
from server.backends.threads import available_cores

FAULTS = (RuntimeError, ValueError, TypeError)


@dataclass(frozen=True, slots=True)
class GraphKey:
    """What makes two instances' graphs the same."""

    fingerprint: str
    threads: int
    limit: int
    precision: str


class Tensor(Protocol):
    """An input or output of a request."""

    data: NDArray[np.float32]


class Request(Protocol):
    """What is used of ``openvino.InferRequest``, which is untyped."""

    def set_input_tensor(self, tensor: Tensor) -> None: ...
    def infer(self) -> object: ...
    def get_tensor(self, name: str) -> Tensor: ...


class _Compiled(Protocol):
    def create_infer_request(self) -> Request: ...


class Graphs:
    """The compiled graphs of one model, for any number of instances."""

    def __init__(self, runtime: ModuleType, bundle: Bundle, key: GraphKey) -> None:
        """Raises: BackendLoadError: the engine does not take the graph."""
        self.runtime = runtime
        self._core = runtime.Core()
        self._bundle = bundle
        self._key = key
        data = bundle.read_model()
        try:
            self.rows = _fixed_rows(self._core.read_model(data), bundle)
            sizes = [self.rows] if self.rows else sorted({1, key.limit})
            self._compiled = {size: self._compile(data, size) for size in sizes}
        except FAULTS as error:
            raise BackendLoadError(f"openvino does not take the graph: {short(error)}") from error

    def _compile(self, data: bytes, size: int) -> _Compiled:
        """For batches of exactly ``size``."""
        key, spec = self._key, self._bundle.spec.input
        graph = self._core.read_model(data)
        graph.reshape(self.runtime.PartialShape([size, spec.height, spec.width, spec.channels]))
        streams = max(1, available_cores() // key.threads)
        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": streams,
            "INFERENCE_NUM_THREADS": streams * key.threads,
            "ENABLE_CPU_PINNING": False,
            "INFERENCE_PRECISION_HINT": key.precision,
        }
        return cast(_Compiled, self._core.compile_model(graph, "CPU", settings))

    def requests(self) -> dict[int, Request]:
        """One instance's own infer requests, by batch size."""
        return {size: graph.create_infer_request() for size, graph in self._compiled.items()}


def import_runtime() -> ModuleType:
    """The library without its conversion tools, which would report this import to its maker."""
    tools = "openvino.tools.ovc"
    hidden = tools not in sys.modules
    if hidden:
        sys.modules[tools] = cast(ModuleType, None)  # Python's documented way to make an import fail
    try:
        import openvino
    except ImportError as error:
        raise BackendUnavailableError(f"openvino is not installed ({error}): pip install 'quickeye[fast]'") from error
    finally:
        if hidden:
            del sys.modules[tools]
    return cast(ModuleType, openvino)


class _Dimension(Protocol):
    is_static: bool

    def get_length(self) -> int: ...


class _Port(Protocol):
    def get_names(self) -> set[str]: ...
    def get_element_type(self) -> object: ...
    def get_partial_shape(self) -> list[_Dimension]: ...


class _Model(Protocol):
    inputs: list[_Port]
    outputs: list[_Port]


def _fixed_rows(model: _Model, bundle: Bundle) -> int | None:
    """The batch that the graph is fixed to, None for any.

    Raises:
        BackendLoadError: the manifest's word is not the graph's.
    """
    if len(model.inputs) != 1 or "uint8" not in str(model.inputs[0].get_element_type()):
        raise BackendLoadError("the graph must take one uint8 tensor")
    names = {name for output in model.outputs for name in output.get_names()}
    for spec in bundle.spec.outputs:
        if spec.name not in names:
            raise BackendLoadError(f"the manifest names an output '{spec.name}' that the graph does not have")
    rows = model.inputs[0].get_partial_shape()[0]
    return int(rows.get_length()) if rows.is_static else None


def short(error: Exception) -> str:
    """An engine's message in one line."""
    return " ".join(str(error).split())[:400]
