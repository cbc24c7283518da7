"""OpenVINO: the fastest engine on most x86 CPUs; CPU only here.

Static shapes. A graph compiled for one batch size runs 9 % (batches of 4 and 8)
to 18 % (single pictures) faster than one that takes any. Compiling takes 0.7 s
and 30–80 MB each, so there are three per model: one picture, the largest
batch, and a dynamic one for what lies between.

Shared by instances. Instances of one model share these graphs and have an
infer request each: half the memory, and the second instance loads at once. As
many streams are opened as instances could be busy, each with the threads of one
instance; threads are not pinned, or two processes would sit on one core.

Two traps of the library, both avoided in ``_import_runtime`` and ``_Graphs``: importing
it sends a usage event to its maker unless its conversion tools are kept out; and two
threads that make their very first tensor at the same time can lock each other out
for ever, so the first is made under a lock.

Reduced precision: ``openvino.precision`` is ``f32`` (the default) or ``bf16``, which
``selection`` tries first for float bundles on CPUs with AMX; the bundle's check decides.
There is no exact mode for 8-bit sums: a bundle that ``saturation.py`` finds at risk on
this CPU is refused, since four check pictures may not show what one in seven would.
"""

import sys
import threading
from dataclasses import dataclass
from types import ModuleType
from typing import Protocol, cast
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from model_zoo.bundle import Bundle
from server.backends import Backend, BackendOptions
from server.backends.batches import batch_limit, padded, refuse_odd_batch
from server.backends.errors import BackendError, BackendLoadError, BackendUnavailableError
from server.backends.extras import own_extras
from server.backends.saturation import needs_exact_sums
from server.backends.threads import available_cores

SETTINGS = ("precision",)
PRECISIONS = ("f32", "bf16")
FAULTS = (RuntimeError, ValueError, TypeError)


@dataclass(frozen=True, slots=True)
class GraphKey:
    """What makes two instances' graphs the same."""

    fingerprint: str
    threads: int
    limit: int
    precision: str


class _Tensor(Protocol):
    data: NDArray[np.float32]


class _Request(Protocol):
    """What is used of ``openvino.InferRequest``, which is untyped."""

    def set_input_tensor(self, tensor: _Tensor) -> None: ...
    def infer(self) -> object: ...
    def get_tensor(self, name: str) -> _Tensor: ...


class _Compiled(Protocol):
    def create_infer_request(self) -> _Request: ...


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
            self._exact = {size: self._compile(data, size) for size in sizes}
            between = self.rows is None and key.limit > 2
            self._between = self._compile(data, None) if between else None
        except FAULTS as error:
            raise BackendLoadError(f"openvino does not take the graph: {_short(error)}") from error

    def _compile(self, data: bytes, size: int | None) -> _Compiled:
        """For batches of ``size``, or of any size up to the limit."""
        key, spec = self._key, self._bundle.spec.input
        rows = self.runtime.Dimension(1, key.limit) if size is None else self.runtime.Dimension(size)
        graph = self._core.read_model(data)
        graph.reshape(self.runtime.PartialShape([rows, spec.height, spec.width, spec.channels]))
        streams = max(1, available_cores() // key.threads)
        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": streams,
            "INFERENCE_NUM_THREADS": streams * key.threads,
            "ENABLE_CPU_PINNING": False,
            "INFERENCE_PRECISION_HINT": key.precision,
        }
        return cast(_Compiled, self._core.compile_model(graph, "CPU", settings))

    def requests(self) -> tuple[dict[int, _Request], _Request | None]:
        """One instance's own infer requests: by exact size, and for any other size."""
        exact = {size: graph.create_infer_request() for size, graph in self._exact.items()}
        return exact, None if self._between is None else self._between.create_infer_request()


class OpenVinoBackend:
    """One instance: requests of its own on graphs that others share."""

    name = "openvino"
    device = "cpu"

    def __init__(self, graphs: Graphs, bundle: Bundle, limit: int, precision: str) -> None:
        self.precision = precision
        self._graphs: Graphs | None = graphs
        self._tensor = graphs.runtime.Tensor
        self._rows = graphs.rows
        self._exact, self._between = graphs.requests()
        self._input = bundle.spec.input
        self._limit = limit
        self._outputs = [output.name for output in bundle.spec.outputs]

    def run(self, batch: NDArray[np.uint8]) -> tuple[NDArray[np.float32], ...]:
        """See ``Backend.run``."""
        if self._graphs is None:
            raise BackendError("this instance is closed")
        refuse_odd_batch(batch, self._input, self._limit)
        whole = padded(batch, self._rows or len(batch))
        request = self._exact.get(len(whole)) or self._between
        if request is None:
            raise BackendError(f"no graph was compiled for a batch of {len(whole)}")
        try:
            request.set_input_tensor(self._tensor(whole, shared_memory=whole.flags.writeable))
            request.infer()
            return tuple(request.get_tensor(name).data[: len(batch)].copy() for name in self._outputs)
        except FAULTS as error:
            raise BackendError(f"openvino failed on a batch of {len(batch)}: {_short(error)}") from error

    def close(self) -> None:
        """Drop the requests; the graphs go with the last instance. A second time does nothing."""
        self._graphs = None
        self._exact, self._between = {}, None


# Graphs in use, for the next instance of the same model; each goes when its last instance does.
_in_use: WeakValueDictionary[GraphKey, Graphs] = WeakValueDictionary()
_loading = threading.Lock()


def load(bundle: Bundle, options: BackendOptions) -> Backend:
    """Open an instance; the first of a model compiles its graphs.

    Raises:
        BackendUnavailableError: openvino is not installed, or a GPU was asked for.
        BackendLoadError: it does not take the graph, or a setting is wrong.
        BundleError: the graph on disk is not the one that was written.
    """
    if options.device == "cuda":
        raise BackendUnavailableError("openvino runs on the CPU here; --backend onnxruntime runs on CUDA")
    precision = own_extras(options, "openvino", SETTINGS).get("precision", "f32")
    if precision not in PRECISIONS:
        raise BackendLoadError(f"openvino.precision must be one of {', '.join(PRECISIONS)}, not '{precision}'")
    if needs_exact_sums(bundle.spec.precision, bundle.read_model()):
        raise BackendLoadError(
            "on this CPU (no VNNI) openvino's 8-bit sums overflow with this bundle's weights; "
            "a bundle quantised with pairs of weights within 128 has no such limit"
        )
    limit = batch_limit(bundle.spec.input, options.max_batch_size)
    key = GraphKey(bundle.fingerprint, options.threads, limit, precision)
    with _loading:
        runtime = _import_runtime()
        runtime.Tensor(np.zeros((1, 1), np.uint8))
        graphs = _in_use.get(key)
        if graphs is None:
            graphs = Graphs(runtime, bundle, key)
            _in_use[key] = graphs
        instance = OpenVinoBackend(graphs, bundle, limit, "bf16" if precision == "bf16" else bundle.spec.precision)
        _try_once(instance, bundle)
    return instance


def _try_once(instance: OpenVinoBackend, bundle: Bundle) -> None:
    """The first run sets up what is not safe to set up in two threads at once."""
    spec = bundle.spec.input
    instance.run(np.zeros((1, spec.height, spec.width, spec.channels), np.uint8))


def _import_runtime() -> ModuleType:
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


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:400]
