"""Running a graph once, on the CPU, to see whether it is what it should be. Serving is ``server.backends``."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from model_zoo.errors import ImportRefusedError

Array = NDArray[np.generic]
RunOnce = Callable[[Array], dict[str, object]]


def open_graph(data: bytes, input_name: str) -> RunOnce:
    """A function from the input to every output by name; outputs that are not arrays come as they are.

    Raises:
        ImportRefusedError: onnxruntime is not installed, or does not take the graph;
            the returned function raises it when the graph fails while running.
    """
    try:
        import onnxruntime
        from onnxruntime.capi import onnxruntime_pybind11_state as state
    except ImportError as error:
        raise ImportRefusedError("importing needs onnxruntime: pip install 'quickeye[cpu]'") from error

    faults = (
        *(state.Fail, state.InvalidArgument, state.InvalidGraph, state.InvalidProtobuf, state.NoSuchFile),
        *(state.NotImplemented, state.RuntimeException, RuntimeError, ValueError),
    )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except faults as error:
        raise ImportRefusedError(f"onnxruntime does not take the graph: {_short(error)}") from error

    def run(batch: Array) -> dict[str, object]:
        names = [output.name for output in session.get_outputs()]
        try:
            return dict(zip(names, session.run(names, {input_name: batch}), strict=True))
        except faults as error:
            raise ImportRefusedError(f"the graph fails while running: {_short(error)}") from error

    return run


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:400]
