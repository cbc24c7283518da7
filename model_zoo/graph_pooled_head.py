"""Finds the end of a classifier that most convolutional networks share, in any ONNX graph.

    features (N, C, h, w) → mean over all places → [form] → linear layer → [form] → logits

The mean is a GlobalAveragePool or a ReduceMean, the layer a Gemm, a MatMul with or without
an Add, or a 1×1 Conv; [form] stands for operators that change a tensor's form and not what it
says, rounding to 8 bits among them. Weights and bias are constants, or dequantised from them.
"""

from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

LOGITS = "logits"

_SAME_VALUES = frozenset(
    {"Cast", "DequantizeLinear", "Dropout", "Flatten", "Identity", "QuantizeLinear", "Reshape", "Squeeze"}
)

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Weights:
    """A constant with the classes along ``axis``; ``scale`` and ``zero`` (empty: none) where it holds codes."""

    name: str
    axis: int
    is_float32: bool
    scale: str = ""
    zero: str = ""
    scale_per_class: bool = False


@dataclass(frozen=True, slots=True)
class PooledHead:
    """``features`` names what is pooled, (N, C, height, width); ``bias`` is (classes,), or (1,) zero."""

    features: str
    height: int
    width: int
    weights: Weights
    bias: Values


@dataclass(frozen=True, slots=True)
class _Layer:
    """The last layer, by the names of what it takes; ``bias`` is empty where there is none."""

    source: str
    weights: str
    axis: int
    bias: str


class _Parts:
    """Who makes a tensor, and which tensors are constant."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.makers: dict[str, onnx.NodeProto] = {name: node for node in graph.node for name in node.output}
        self.constants: dict[str, onnx.TensorProto] = {tensor.name: tensor for tensor in graph.initializer}
        for node in graph.node:
            if node.op_type == "Constant" and node.attribute and node.attribute[0].name == "value":
                self.constants[node.output[0]] = node.attribute[0].t

    def behind(self, name: str) -> onnx.NodeProto | None:
        """The operator that computed these values, whatever changed their form since."""
        node = self.makers.get(name)
        while node is not None and node.op_type in _SAME_VALUES:
            node = self.makers.get(node.input[0])
        return node

    def dequantised(self, name: str) -> onnx.NodeProto | None:
        """The DequantizeLinear that makes ``name`` of constants, if one does."""
        node = self.makers.get(name)
        if node is None or node.op_type != "DequantizeLinear" or any(one not in self.constants for one in node.input):
            return None
        return node

    def values(self, name: str) -> Values | None:
        """A constant's values, or those that a constant is dequantised to; None where they are computed."""
        if name in self.constants:
            return numpy_helper.to_array(self.constants[name]).astype(np.float64)
        node = self.dequantised(name)
        if node is None:
            return None
        codes, scale, *zero = (numpy_helper.to_array(self.constants[one]).astype(np.float64) for one in node.input)
        if scale.size > 1:
            shape = [-1 if place == _axis_of(node) % codes.ndim else 1 for place in range(codes.ndim)]
            scale, zero = scale.reshape(shape), [one.reshape(shape) for one in zero]
        return (codes - zero[0] if zero else codes) * scale


def find_pooled_head(model: onnx.ModelProto) -> PooledHead | None:
    """The last layer and what is pooled before it; None where the graph ends otherwise.

    Args:
        model: output "logits", (N, classes).
    """
    parts = _Parts(model.graph)
    layer = _last_layer(parts)
    weights = None if layer is None else _weights(parts, layer)
    pool = None if layer is None else parts.behind(layer.source)
    if layer is None or weights is None or pool is None or not _is_global_mean(parts, pool):
        return None
    known = onnx.shape_inference.infer_shapes(model).graph.value_info
    shape = next((one.type.tensor_type.shape.dim for one in known if one.name == pool.input[0]), ())
    sizes = [dimension.dim_value for dimension in shape]
    kernel = (*parts.constants[weights.name].dims, 1, 1)[:4]
    if len(sizes) != 4 or not all(sizes[1:]) or kernel[1 - layer.axis] != sizes[1] or kernel[2:] != (1, 1):
        return None
    bias = parts.values(layer.bias) if layer.bias else np.zeros(1)
    return None if bias is None else PooledHead(pool.input[0], sizes[2], sizes[3], weights, bias.ravel())


def _last_layer(parts: _Parts) -> _Layer | None:
    node, bias = parts.behind(LOGITS), ""
    if node is not None and node.op_type == "Add":
        sums = ((parts.behind(one), other) for one, other in (node.input, reversed(node.input)))
        node, bias = next((pair for pair in sums if parts.values(pair[1]) is not None), (None, ""))
        if node is None or node.op_type != "MatMul":
            return None
    if node is None or node.op_type not in ("Gemm", "MatMul", "Conv"):
        return None
    given = {one.name: helper.get_attribute_value(one) for one in node.attribute}
    if given.get("transA", 0) or {given.get("alpha", 1.0), given.get("beta", 1.0)} != {1.0}:
        return None
    by_column = node.op_type == "MatMul" or (node.op_type == "Gemm" and not given.get("transB", 0))
    return _Layer(node.input[0], node.input[1], int(by_column), bias or "".join(node.input[2:]))


def _weights(parts: _Parts, layer: _Layer) -> Weights | None:
    name, axis = layer.weights, layer.axis
    if name in parts.constants:
        return Weights(name, axis, parts.constants[name].data_type == TensorProto.FLOAT)
    node = parts.dequantised(name)
    if node is None:
        return None
    codes, scale = parts.constants[node.input[0]], parts.constants[node.input[1]]
    per_class = list(scale.dims) == [codes.dims[axis]] and _axis_of(node) % len(codes.dims) == axis
    if not per_class and list(scale.dims) not in ([], [1]):
        return None
    zero = next((one for one in node.input[2:] if numpy_helper.to_array(parts.constants[one]).any()), "")
    return Weights(
        codes.name or node.input[0], axis, scale.data_type == TensorProto.FLOAT, node.input[1], zero, per_class
    )


def _is_global_mean(parts: _Parts, node: onnx.NodeProto) -> bool:
    if node.op_type == "GlobalAveragePool":
        return True
    axes = next((list(one.ints) for one in node.attribute if one.name == "axes"), None)
    if axes is None and len(node.input) > 1 and node.input[1] in parts.constants:
        axes = numpy_helper.to_array(parts.constants[node.input[1]]).tolist()
    return node.op_type == "ReduceMean" and axes is not None and sorted(axis % 4 for axis in axes) == [2, 3]


def _axis_of(node: onnx.NodeProto) -> int:
    return next((int(one.i) for one in node.attribute if one.name == "axis"), 1)
