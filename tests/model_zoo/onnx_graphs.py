"""Small ONNX classifiers, as strangers write them. Weights come from a fixed seed."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

Node = onnx.NodeProto
CLASSES = 5
SIDE = 12


def node(operator: str, inputs: Sequence[str], output: str, **attributes: Any) -> Node:  # noqa: ANN401
    """One operator with one output."""
    return helper.make_node(operator, list(inputs), [output], **attributes)


def weights(channels: int = 3, classes: int = CLASSES, dtype: Any = np.float32) -> dict[str, NDArray[np.generic]]:  # noqa: ANN401
    """A 3×3 convolution to 6 channels and a linear layer."""
    rng = np.random.default_rng(7)
    return {
        "conv.weight": rng.normal(0, 0.5, (6, channels, 3, 3)).astype(dtype),
        "conv.bias": rng.normal(0, 0.5, 6).astype(dtype),
        "fc.weight": rng.normal(0, 1.5, (classes, 6)).astype(dtype),
        "fc.bias": rng.normal(0, 0.5, classes).astype(dtype),
    }


def body(source: str = "x") -> list[Node]:
    """NCHW ``source`` to ``y`` (N, classes): convolution, ReLU, mean, linear."""
    return [
        node("Conv", [source, "conv.weight", "conv.bias"], "c", pads=[1, 1, 1, 1]),
        node("Relu", ["c"], "r"),
        node("GlobalAveragePool", ["r"], "p"),
        node("Flatten", ["p"], "f", axis=1),
        node("Gemm", ["f", "fc.weight", "fc.bias"], "y", transB=1),
    ]


def model(
    nodes: Sequence[Node],
    *,
    shape: Sequence[int | str | None] = (1, 3, SIDE, SIDE),
    output: str = "y",
    source: str = "x",
    element: int = TensorProto.FLOAT,
    constants: dict[str, NDArray[np.generic]] | None = None,
    opset: int = 17,
    ir_version: int = 8,
    constants_as_inputs: bool = False,
    metadata: dict[str, str] | None = None,
    output_element: int | None = None,
    domains: Sequence[str] = (),
) -> onnx.ModelProto:
    """A model of these nodes; constants default to ``weights()``."""
    tensors = [numpy_helper.from_array(array, name) for name, array in (constants or weights()).items()]
    inputs = [helper.make_tensor_value_info(source, element, shape)]
    if constants_as_inputs:
        inputs += [helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims) for tensor in tensors]
    outputs = [helper.make_tensor_value_info(output, output_element or element, None)]
    graph = helper.make_graph(list(nodes), "stranger", inputs, outputs, tensors)
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in domains)]
    made = helper.make_model(graph, opset_imports=opsets, ir_version=ir_version)
    helper.set_model_props(made, metadata or {})
    return made


def reference(made: onnx.ModelProto, batch: NDArray[np.generic], output: str) -> NDArray[np.float32]:
    """Any value of the graph for one batch, by ONNX's own numpy evaluator (not the engine that is tested)."""
    copy = onnx.ModelProto()
    copy.CopyFrom(made)
    del copy.graph.output[:]
    copy.graph.output.append(helper.make_tensor_value_info(output, TensorProto.UNDEFINED, None))
    (values,) = ReferenceEvaluator(copy).run(None, {copy.graph.input[0].name: batch})
    return np.asarray(values, np.float32)
