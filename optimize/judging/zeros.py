"""How many of a graph's weights are 0, in whatever form the file holds them.

A weight may be stored in half precision, as 8-bit codes or as a mask with values: what makes it of constants
is computed, by the runtime, and looked at as the layer gets it.
"""

from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from optimize.errors import PassError
from optimize.judging.arithmetic import runtime_faults
from optimize.passes.layer_weights import LAYERS, drop_listed_constants, read_model


@dataclass(frozen=True, slots=True)
class Zeros:
    """``zeros`` of ``weights``, of convolutions, linear layers and products by a constant."""

    zeros: int
    weights: int

    @property
    def share(self) -> float:
        """0 to 1; 0 of no weights."""
        return self.zeros / self.weights if self.weights else 0.0


def zeros_of(model: bytes) -> Zeros:
    """Count; a weight that several layers use counts once, one that depends on the pictures not at all.

    Args:
        model: ONNX.
    Raises:
        PassError: not an ONNX model, or constants that the runtime can't compute.
    """
    parsed = read_model(model)
    drop_listed_constants(parsed)
    stored = {one.name: one for one in parsed.graph.initializer}
    known, makers = set(stored), list[onnx.NodeProto]()
    for node in parsed.graph.node:  # in order: what a node reads is made before it
        if node.input and all(name in known for name in node.input if name):
            makers.append(node)
            known.update(node.output)
    names = sorted({node.input[1] for node in parsed.graph.node if node.op_type in LAYERS} & known)
    made = _computed(parsed, makers, [name for name in names if name not in stored])
    arrays = [made[name] if name in made else numpy_helper.to_array(stored[name]) for name in names]
    return Zeros(sum(int((one == 0).sum()) for one in arrays), sum(one.size for one in arrays))


def _computed(model: onnx.ModelProto, makers: list[onnx.NodeProto], names: list[str]) -> dict[str, NDArray[np.generic]]:
    """What the graph makes under these names of its constants alone."""
    if not names:
        return {}
    import onnxruntime

    outputs = [onnx.ValueInfoProto(name=name) for name in names]
    part = onnx.ModelProto()
    part.CopyFrom(model)
    part.graph.CopyFrom(helper.make_graph(makers, "weights", [], outputs, initializer=model.graph.initializer))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = onnxruntime.InferenceSession(part.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return dict(zip(names, session.run(names, {}), strict=True))
    except runtime_faults() as error:
        raise PassError(f"ONNX Runtime does not compute the model's weights: {error}") from error
