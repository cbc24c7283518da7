"""OpenVINO: the fastest engine on most x86 CPUs; CPU only here. Its graphs: ``openvino_graphs.py``.

Reduced precision: ``openvino.precision`` is ``f32`` (the default) or ``bf16``, which
``selection`` tries first for float bundles on CPUs that multiply in it; the bundle's check decides.
There is no exact mode for 8-bit sums: a bundle that ``saturation.py`` finds at risk on
this CPU is refused, since four check pictures may not show what one in seven would.

Class-activation maps are computed with every run: one graph with them costs about 1 %
of the time, a second graph without would cost its 30–80 MB. They are copied when they are asked for.
"""

import threading
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from model_zoo.bundle import Bundle
from server.backends import Backend, BackendOptions, output_names
from server.backends.batches import batch_limit, padded, refuse_odd_batch
from server.backends.errors import BackendError, BackendLoadError, BackendUnavailableError
from server.backends.extras import own_extras
from server.backends.openvino_graphs import FAULTS, GraphKey, Graphs, import_runtime, short
from server.backends.saturation import needs_exact_sums

SETTINGS = ("precision",)
PRECISIONS = ("f32", "bf16")


class OpenVinoBackend:
    """One instance: requests of its own on graphs that others share."""

    name = "openvino"
    device = "cpu"

    def __init__(self, graphs: Graphs, bundle: Bundle, limit: int, precision: str) -> None:
        self.precision = precision
        self._graphs: Graphs | None = graphs
        self._tensor = graphs.runtime.Tensor
        self._rows = graphs.rows
        self._requests = graphs.requests()
        self._input = bundle.spec.input
        self._limit = limit
        self._names = {explain: output_names(bundle.spec, explain=explain) for explain in (False, True)}

    def run(self, batch: NDArray[np.uint8], explain: bool = False) -> tuple[NDArray[np.float32], ...]:
        """See ``Backend.run``."""
        if self._graphs is None:
            raise BackendError("this instance is closed")
        refuse_odd_batch(batch, self._input, self._limit)
        try:
            if self._rows is not None:
                return tuple(part[: len(batch)] for part in self._run_exactly(padded(batch, self._rows), explain))
            if len(batch) in self._requests:
                return self._run_exactly(batch, explain)
            rows = [self._run_exactly(batch[row : row + 1], explain) for row in range(len(batch))]
        except FAULTS as error:
            raise BackendError(f"openvino failed on a batch of {len(batch)}: {short(error)}") from error
        return tuple(np.concatenate(parts) for parts in zip(*rows, strict=True))

    def _run_exactly(self, batch: NDArray[np.uint8], explain: bool) -> tuple[NDArray[np.float32], ...]:
        """A batch of a size that was compiled for."""
        request = self._requests[len(batch)]
        request.set_input_tensor(self._tensor(batch, shared_memory=batch.flags.writeable))
        request.infer()
        return tuple(request.get_tensor(name).data.copy() for name in self._names[explain])

    def close(self) -> None:
        """Drop the requests; the graphs go with the last instance. A second time does nothing."""
        self._graphs = None
        self._requests = {}


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
        runtime = import_runtime()
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
