"""One graph under several arithmetics, all on ONNX Runtime.

``reference``: nothing melted; every operator in float32 between the rounding
that the graph asks for. This is what the graph *means*. ``exact``: the integer
kernels, told to sum exactly on CPUs without VNNI. ``fast``: the integer kernels
as they come; on such CPUs a pair of products may be cut off at 16 bits.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Arithmetic = Literal["reference", "exact", "fast"]
Run = Callable[[NDArray[np.uint8]], NDArray[np.float32]]

BATCH = 8


def runtime_faults() -> tuple[type[Exception], ...]:
    """What ONNX Runtime raises of a graph that it does not take."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    named = ("Fail", "InvalidArgument", "InvalidGraph", "InvalidProtobuf", "NotImplemented", "RuntimeException")
    return tuple(getattr(state, name) for name in named)


def open_model(
    model: bytes, arithmetic: Arithmetic, *, output: str = "logits", save_optimised: Path | None = None
) -> Run:
    """Open a session with one thread; the function it returns takes (N, H, W, C) and gives ``output``, (N, …).

    Args:
        model: ONNX, one uint8 input.
        arithmetic: see the module.
        output: its name.
        save_optimised: where to write the graph that the runtime really runs.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    levels = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_DISABLE_ALL if arithmetic == "reference" else levels.ORT_ENABLE_ALL
    if arithmetic == "exact":
        options.add_session_config_entry("session.x64quantprecision", "1")
    if save_optimised is not None:
        options.optimized_model_filepath = str(save_optimised)
    session: Any = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def run(pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        parts = [session.run([output], {name: pictures[i : i + BATCH]})[0] for i in range(0, len(pictures), BATCH)]
        return np.concatenate(parts)

    return run
