"""ONNX Runtime: the engine that runs everywhere; CPU, CUDA and TensorRT.

Exact 8-bit sums. On x86 CPUs without VNNI the runtime multiplies unsigned by
signed bytes with ``vpmaddubsw``, which cuts each pair's sum off at 16 bits: an
ordinary INT8 EfficientNet-Lite0 then differs from its own arithmetic by up to
five logits and changes one first class in seven. There the session is asked to
sum exactly (``session.x64quantprecision``: the weights become unsigned), which
costs 1.4× of the time. A bundle whose weights cannot overflow needs none of it:
``saturation.py`` looks, and the fast sums are used.

Quiet when idle: no thread spins between runs, and an instance of one thread
has no pool at all. The arena is kept (without it a batch of eight is a third
slower: page faults); memory patterns are off, they cost memory and gain nothing.

Class-activation maps are computed with every run, as the runtime computes all outputs
whichever it is asked for: about 1 % of the time. They are copied out when they are asked for.

On a GPU batches have fixed places in its memory, and their runs are recorded (``bound/``).

Settings: ``onnxruntime.providers`` (a list in order of preference, of cpu, cuda,
tensorrt or the runtime's own names), ``onnxruntime.device_id``,
``onnxruntime.exact`` (1 or 0 overrides the above), ``onnxruntime.trt_fp16``,
``onnxruntime.trt_cache`` (a folder for built engines); ``onnxruntime.memory`` (torch,
fixed, copied), ``onnxruntime.cuda_graphs``, ``onnxruntime.nhwc`` (1 or 0: so and no other way),
``onnxruntime.preprocess`` (exact, fast, cpu), ``onnxruntime.decode`` (auto, gpu, cpu).
"""

from collections.abc import Sequence
from functools import partial
from types import ModuleType
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from model_zoo.bundle import Bundle
from server.backends import Backend, BackendOptions, output_names
from server.backends.batches import batch_limit, padded, refuse_odd_batch
from server.backends.bound.choices import decode_choice, device_of, memory_kind, preprocess_choice
from server.backends.bound.opening import Opening
from server.backends.bound.session import BoundSession, Faults, GraphValue, Runtime, short
from server.backends.bound.ways import ways
from server.backends.errors import BackendError, BackendLoadError, BackendUnavailableError
from server.backends.extras import as_flag, own_extras
from server.backends.onnxruntime_providers import NAMES, Provider, choose_providers, device_number
from server.backends.saturation import needs_exact_sums

SETTINGS = (
    "providers", "device_id", "exact", "trt_fp16", "trt_cache",
    "memory", "cuda_graphs", "nhwc", "preprocess", "decode",
)  # fmt: skip
_FATAL_ONLY = 4


class _Session(Protocol):
    """What is used of ``onnxruntime.InferenceSession``, which is untyped."""

    def run(self, outputs: list[str], feeds: dict[str, NDArray[np.uint8]]) -> list[NDArray[np.float32]]: ...
    def get_inputs(self) -> Sequence[GraphValue]: ...
    def get_outputs(self) -> Sequence[GraphValue]: ...


class _WholeSession(_Session, BoundSession, Protocol):
    """Both ways to run one."""


class OnnxRuntimeBackend:
    """One session; used by one thread at a time."""

    name = "onnxruntime"

    def __init__(self, session: _Session, bundle: Bundle, limit: int, device: str, faults: Faults) -> None:
        self.device = device
        self.precision: str = bundle.spec.precision
        self._session: _Session | None = session
        self._input = bundle.spec.input
        self._limit = limit
        self._faults = faults
        graph_input = session.get_inputs()[0]
        rows = graph_input.shape[0]
        self._input_name = graph_input.name
        self._rows = rows if isinstance(rows, int) else None
        self._names = {explain: output_names(bundle.spec, explain=explain) for explain in (False, True)}

    def run(self, batch: NDArray[np.uint8], explain: bool = False) -> tuple[NDArray[np.float32], ...]:
        """See ``Backend.run``."""
        if self._session is None:
            raise BackendError("this instance is closed")
        refuse_odd_batch(batch, self._input, self._limit)
        whole = batch if self._rows is None else padded(batch, self._rows)
        try:
            outputs = self._session.run(self._names[explain], {self._input_name: whole})
        except self._faults as error:
            raise BackendError(f"onnxruntime failed on a batch of {len(batch)}: {short(error)}") from error
        return tuple(outputs) if self._rows is None else tuple(output[: len(batch)] for output in outputs)

    def close(self) -> None:
        """Drop the session; a second time does nothing."""
        self._session = None


def load(bundle: Bundle, options: BackendOptions) -> Backend:
    """Open a session on the device asked for; ``auto`` means the CPU here, ``selection`` looks for more.

    Raises:
        BackendUnavailableError: onnxruntime, or the provider asked for, is not on this machine.
        BackendLoadError: it does not take the graph, or a setting is wrong.
        BundleError: the graph on disk is not the one that was written.
    """
    runtime, faults = _import_runtime()
    extras = own_extras(options, "onnxruntime", SETTINGS)
    providers = choose_providers(runtime, bundle.spec, options, extras, has_twin=bundle.has_twin)
    limit = batch_limit(bundle.spec.input, options.max_batch_size)
    place = (providers[0].device, device_number(extras))
    memory = memory_kind(extras, place[0])
    preprocess, decode = preprocess_choice(extras, place[0]), decode_choice(extras, place[0])
    twin = bundle.read_twin() if providers[0].name == NAMES["tensorrt"] else None
    data = bundle.read_model() if twin is None else twin
    settings = _session_options(runtime, bundle, options, _wants_exact(extras, bundle, data))

    def open_session(asked: Sequence[Provider]) -> _WholeSession:
        try:
            named = [(one.name, one.options) for one in asked]
            # With the fallback it would take the CPU, and keep the reason to itself.
            session = runtime.InferenceSession(data, settings, providers=named, enable_fallback=0)
        except faults as error:
            raise BackendLoadError(f"onnxruntime does not take the graph: {short(error)}") from error
        _refuse_other_provider(asked[0], session.get_providers())
        _refuse_odd_graph(session, bundle)
        found: _WholeSession = session
        return found

    if memory == "copied":
        return OnnxRuntimeBackend(open_session(providers), bundle, limit, place[0], faults)
    line = ways(providers[0].name, limit == 1 or bundle.spec.input.max_batch is not None, extras)
    device = partial(device_of, runtime, memory, place, options)
    opening = Opening(Runtime(runtime, faults, open_session), bundle, limit, providers, device, preprocess, decode)
    return opening.first_of(line)


def _import_runtime() -> tuple[ModuleType, Faults]:
    """The library, and every exception it throws (its own do not share a base)."""
    try:
        import onnxruntime
        from onnxruntime.capi import onnxruntime_pybind11_state as state
    except ImportError as error:
        raise BackendUnavailableError(
            f"onnxruntime is not installed ({error}): pip install 'quickeye[cpu]' (or 'quickeye[gpu]')"
        ) from error
    own = [kind for kind in vars(state).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    return onnxruntime, (*own, RuntimeError, ValueError, TypeError)


def _wants_exact(extras: dict[str, str], bundle: Bundle, data: bytes) -> bool:
    if "exact" in extras:
        return as_flag("onnxruntime.exact", extras["exact"])
    return needs_exact_sums(bundle.spec.precision, data)


def _session_options(runtime: ModuleType, bundle: Bundle, options: BackendOptions, exact: bool) -> object:
    settings = runtime.SessionOptions()
    settings.intra_op_num_threads = options.threads
    settings.inter_op_num_threads = 1
    settings.execution_mode = runtime.ExecutionMode.ORT_SEQUENTIAL
    settings.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_ENABLE_ALL
    settings.log_severity_level = _FATAL_ONLY
    settings.enable_mem_pattern = False
    settings.logid = bundle.spec.name
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    settings.add_session_config_entry("session.inter_op.allow_spinning", "0")
    if exact:
        settings.add_session_config_entry("session.x64quantprecision", "1")
    return settings


def _refuse_other_provider(first: Provider, running: list[str]) -> None:
    """The runtime passes silently over one whose libraries it cannot load."""
    if first.name not in running:
        raise BackendUnavailableError(
            f"onnxruntime could not start {first.name}: is the driver installed, and 'quickeye[gpu]' with its CUDA "
            f"libraries? Running instead were: {', '.join(running)}"
        )


def _refuse_odd_graph(session: _Session, bundle: Bundle) -> None:
    """The manifest's word must be the graph's."""
    inputs = session.get_inputs()
    if len(inputs) != 1 or inputs[0].type != "tensor(uint8)":
        found = ", ".join(f"{one.name}: {one.type}" for one in inputs)
        raise BackendLoadError(f"the graph must take one uint8 tensor, it takes {found or 'nothing'}")
    types = {one.name: one.type for one in session.get_outputs()}
    for output in bundle.spec.outputs:
        if types.get(output.name) != "tensor(float)":
            raise BackendLoadError(
                f"the manifest names a float32 output '{output.name}', the graph has {types.get(output.name, 'none')}"
            )
