"""Can a graph's 8-bit sums overflow on a CPU without VNNI?

There an unsigned byte (an activation, at most 255) times a signed byte (a
weight) is summed with its neighbour's product in 16 signed bits. Two
neighbours of one sign overflow when their weights add up to more than 128:
255 · 129 > 32,767. Neighbours are the input channels (2i, 2i+1) of one
kernel position; for the first layer's three channels engines also pair across
positions, so both layouts are looked at. Depthwise filters are summed otherwise
and cannot overflow. A product of two computed tensors is at risk, unless one of them is
rows looked up in constant weights, as for class-activation maps: then these are looked at.

A quantiser that keeps such pairs within 128 (scales 1.2× larger in the median,
for EfficientNet-Lite0) gives a bundle that is exact everywhere and runs 1.4×
faster here than one that needs exact sums.
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from model_zoo.spec import Precision
from server.backends.cpu_features import CpuFeatures, cpu_features

if TYPE_CHECKING:
    import onnx

MAX_PAIR = 128
_WEIGHT_INPUT = {
    "Conv": 1,
    "Gemm": 1,
    "MatMul": 1,
    "QLinearConv": 3,
    "QLinearMatMul": 3,
    "ConvInteger": 1,
    "MatMulInteger": 1,
}
_FORM_ONLY = frozenset({"DequantizeLinear", "Reshape", "Transpose", "Unsqueeze"})


def needs_exact_sums(precision: Precision, model: bytes, features: CpuFeatures | None = None) -> bool:
    """Whether 16-bit pair sums would be wrong for this graph on this CPU; ``features`` None asks which it is."""
    return precision == "int8" and (features or cpu_features()).saturates_u8s8 and may_saturate(model)


def may_saturate(model: bytes) -> bool:
    """Whether some input could overflow a 16-bit pair sum; True where the weights are not plain constants.

    Args:
        model: a serialised ONNX graph, quantised in any of ONNX's forms.
    """
    import onnx  # 10 MB and a tenth of a second, on CPUs that need the answer
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        graph = onnx.load_model_from_string(model).graph
    except DecodeError:
        return True
    constants = {tensor.name: tensor for tensor in graph.initializer}
    sources = {name: node for node in graph.node for name in node.output}
    return any(_node_may(node, constants, sources) for node in graph.node)


def largest_pair(rows: NDArray[np.int8]) -> int:
    """The largest sum of two neighbours, without its sign; rows are (outputs, length of the sum)."""
    length = rows.shape[1] // 2 * 2
    sums = np.add(rows[:, 0:length:2], rows[:, 1:length:2], dtype=np.int16)
    return int(np.abs(sums).max(initial=0))


def _node_may(
    node: "onnx.NodeProto", constants: "dict[str, onnx.TensorProto]", sources: "dict[str, onnx.NodeProto]"
) -> bool:
    from onnx.numpy_helper import to_array

    position = _WEIGHT_INPUT.get(node.op_type)
    if position is None:
        return False
    name = node.input[position]
    source = sources.get(name)
    if source is not None and source.op_type == "DequantizeLinear":
        name = source.input[0]
    lookup = None if name in constants else _lookup(node, sources)
    tensor = constants.get(name if lookup is None else lookup.input[0])
    if tensor is None:
        return True
    weights = to_array(tensor)
    if weights.dtype != np.int8:
        return False  # unsigned weights and floats are summed exactly
    layouts = _layouts(node, weights) if lookup is None else [weights.T if _axis(lookup) else weights]
    return any(largest_pair(rows) > MAX_PAIR for rows in layouts)


def _lookup(node: "onnx.NodeProto", sources: "dict[str, onnx.NodeProto]") -> "onnx.NodeProto | None":
    """The Gather that a MatMul's first operand comes from, whatever changed its form since."""
    source = sources.get(node.input[0]) if node.op_type == "MatMul" else None
    while source is not None and source.op_type in _FORM_ONLY:
        source = sources.get(source.input[0])
    return source if source is not None and source.op_type == "Gather" else None


def _axis(node: "onnx.NodeProto") -> int:
    return next((part.i for part in node.attribute if part.name == "axis"), 0)


def _layouts(node: "onnx.NodeProto", weights: NDArray[np.int8]) -> list[NDArray[np.int8]]:
    """The weights as rows that are summed, neighbours adjacent, in every layout that engines use."""
    if weights.ndim == 4:
        outputs, inputs = weights.shape[:2]
        if inputs == 1:
            return []
        by_position = weights.transpose(0, 2, 3, 1)
        return [by_position.reshape(outputs, -1), by_position.reshape(-1, inputs)]
    if weights.ndim != 2:
        return [weights.reshape(1, -1)]
    transposed = node.op_type == "Gemm" and any(part.name == "transB" and part.i for part in node.attribute)
    return [weights if transposed else weights.T]
