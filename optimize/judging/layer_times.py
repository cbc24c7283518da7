"""Where a model's time goes, layer by layer, as ONNX Runtime itself counts it.

The runtime's profile has the time of every kernel of every run, by the name of its node; nodes that have none get
one first, as ``work_of`` names layers. Counting costs time too, and what the runtime merged is told under one name, so
these figures are shares of a whole, not a latency. A class-activation map is no part of it.
"""

import json
import statistics
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optimize.errors import PassError
from optimize.judging.arithmetic import runtime_faults
from optimize.judging.fused import with_layer_names

RUNS = 20
_WARMUP = 3
_SUFFIX = "_kernel_time"


def layer_times(model: bytes, pictures: NDArray[np.uint8], *, threads: int = 1) -> dict[str, float]:
    """Milliseconds of each of the runtime's nodes for one picture, the median of ``RUNS``, by the node's name.

    A layer that the runtime merged into another, or gave another name, is not among them.

    Args:
        model: ONNX, one input whose first dimension is the batch.
        pictures: uint8 (N, height, width, channels), N from 1, taken in turns.
        threads: of the session.
    Raises:
        PassError: no ONNX model, or one that the runtime does not take.
    """
    import onnxruntime

    named = with_layer_names(model)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.enable_profiling = True
    with tempfile.TemporaryDirectory() as folder:
        options.profile_file_prefix = str(Path(folder) / "profile")
        try:
            session: Any = onnxruntime.InferenceSession(named, options, providers=["CPUExecutionProvider"])
            name = session.get_inputs()[0].name
            for number in range(_WARMUP + RUNS):
                session.run(None, {name: pictures[number % len(pictures)][None]})
            events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
        except runtime_faults() as error:
            raise PassError(f"ONNX Runtime does not take the graph: {error}") from error
    times: dict[str, list[float]] = defaultdict(list)
    for event in events:
        if event.get("cat") == "Node" and str(event["name"]).endswith(_SUFFIX):
            times[str(event["name"]).removesuffix(_SUFFIX)].append(event["dur"] / 1e3)
    return {layer: statistics.median(each[-RUNS:]) for layer, each in times.items()}
