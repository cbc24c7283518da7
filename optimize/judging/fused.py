"""What part of a model really runs in integers: the runtime is asked, not the file.

A file in QDQ form says where to round. Whether an engine computes a layer in integers is the
engine's decision: ONNX Runtime leaves a convolution in float whose activations are
signed, whose scales are not as its kernels have them, or that lacks a rounding on one side, and says nothing. So the
graph that it makes of the file is looked at, layer by layer.

A layer is a convolution or a product (Conv, Gemm, MatMul); it counts by its multiply-adds for one picture.
A class-activation map is no part of the answer and does not count.
"""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path

import onnx

from model_zoo.graph_class_activation import remove_class_activation
from optimize.errors import PassError
from optimize.judging.arithmetic import runtime_faults
from optimize.passes.layer_weights import drop_listed_constants, read_model

# A layer in a graph: in ONNX's own operators, and in those for integers.
_IN_INTEGERS = {"ConvInteger", "QLinearConv", "MatMulInteger", "QLinearMatMul", "QGemm", "MatMulIntegerToFloat"}
_LAYERS = {
    "Conv": 1,
    "Gemm": 1,
    "MatMul": 1,
    "ConvInteger": 1,
    "MatMulInteger": 1,
    "QLinearConv": 3,
    "QLinearMatMul": 3,
}


@dataclass(frozen=True, slots=True)
class Fused:
    """``share`` of the multiply-adds in integer kernels, 0 to 1, and the names of the layers in float."""

    share: float
    float_layers: tuple[str, ...]


def fused_share(model: bytes, backend: str = "onnxruntime") -> Fused:
    """How much of a model the runtime computes in integers.

    Args:
        model: ONNX, one input whose first dimension is the batch.
        backend: the engine to ask; "onnxruntime" on CPUs.
    Raises:
        PassError: no ONNX model, another backend, or a model without layers, of shapes that can't be inferred, or
            that the runtime does not open.
    """
    if backend != "onnxruntime":
        raise PassError(f"what {backend!r} runs can't be looked at; ask 'onnxruntime'")
    parsed = _parsed(model)
    work = _named_layers(parsed)
    if not work:
        raise PassError("the model has no Conv, Gemm or MatMul: there is nothing to look at")
    kinds = _optimised(parsed)
    left = tuple(name for name in work if kinds.get(name) not in _IN_INTEGERS)
    return Fused(1 - sum(work[name] for name in left) / sum(work.values()), left)


def work_of(model: bytes) -> dict[str, int]:
    """Multiply-adds for one picture by layer; empty where there are no layers, or shapes that can't be inferred.

    Args:
        model: as for ``fused_share``.
    Raises:
        PassError: no ONNX model.
    """
    parsed = _parsed(model)
    try:
        return dict(_named_layers(parsed))
    except PassError:
        return {}


def with_layer_names(model: bytes) -> bytes:
    """The model with its nodes under the names by which ``work_of`` and ``fused_share`` tell layers; without a map.

    Args:
        model: as for ``fused_share``.
    Raises:
        PassError: no ONNX model.
    """
    parsed = _parsed(model)
    _name_nodes(parsed)
    named: bytes = parsed.SerializeToString()
    return named


def _parsed(model: bytes) -> onnx.ModelProto:
    """With the inputs that a caller gives alone, and without a map."""
    parsed = read_model(model)
    drop_listed_constants(parsed)
    if not parsed.graph.input:
        raise PassError("the model has no input: there are no multiply-adds for one picture")
    remove_class_activation(parsed)
    return parsed


def _named_layers(model: onnx.ModelProto) -> Mapping[str, int]:
    """Multiply-adds by layer; nodes without a name of their own get one."""
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    _name_nodes(model)
    graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    shapes = {
        one.name: [size.dim_value for size in one.type.tensor_type.shape.dim]
        for one in (*graph.value_info, *graph.input, *graph.output)
    }
    shapes |= {one.name: list(one.dims) for one in graph.initializer}
    return {node.name: _multiply_adds(node, shapes) for node in graph.node if node.op_type in _LAYERS}


def _name_nodes(model: onnx.ModelProto) -> None:
    taken: set[str] = set()
    for node in model.graph.node:
        if not node.name or node.name in taken:
            node.name = f"{node.op_type}:{node.output[0]}"
        taken.add(node.name)


def _multiply_adds(node: onnx.NodeProto, shapes: Mapping[str, list[int]]) -> int:
    output, weights = shapes.get(node.output[0], []), shapes.get(node.input[_LAYERS[node.op_type]], [])
    if not all(output) or not output or not weights or not all(weights):
        raise PassError(f"node '{node.name}' ({node.op_type}): its shape can't be inferred, so its work is not known")
    if "Conv" in node.op_type:
        return prod(output) * prod(weights[1:])
    rows = -1 if any(one.name == "transB" and one.i for one in node.attribute) else max(-2, -len(weights))
    return prod(output) * weights[rows]


def _optimised(model: onnx.ModelProto) -> Mapping[str, str]:
    """Operators by the name of their node, as the runtime runs them, its order of bytes in memory aside."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "optimised.onnx"
        options.optimized_model_filepath = str(path)
        try:
            onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        except runtime_faults() as error:
            raise PassError(f"ONNX Runtime does not open the model, so what it runs can't be seen: {error}") from error
        return {str(node.name): str(node.op_type) for node in onnx.load(path).graph.node}
