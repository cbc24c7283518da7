"""The weights of a graph's layers: found, and stored in another form under the same name.

A pass that stores a weight otherwise (half precision, a codebook) puts what it stores
and one or two operators in its place, and these give the weight under the name it had:
whatever used it, a subgraph or a class-activation map too, goes on using it. They depend
on constants alone, so an engine computes them once, when it loads the graph, and then runs
what it ran before.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from model_zoo.errors import BundleError
from model_zoo.onnx_safety import nodes, parse_model
from optimize.errors import PassError

_UNLISTED = 4
LAYERS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})


@dataclass(slots=True)
class StoredForm:
    """What stands in a weight's place: constants, and the operators that make the weight of them."""

    constants: list[onnx.TensorProto] = field(default_factory=list)
    nodes: list[onnx.NodeProto] = field(default_factory=list)

    def constant(self, name: str, value: NDArray[np.generic]) -> str:
        """Add a constant; its name."""
        self.constants.append(numpy_helper.from_array(value, name))
        return name

    def node(self, operator: str, inputs: Sequence[str], output: str, **attributes: int) -> str:
        """Add an operator, named after its output; the output's name."""
        made = helper.make_node(operator, list(inputs), [output], f"{output}/{operator}")
        made.attribute.extend(helper.make_attribute(name, value) for name, value in attributes.items())
        self.nodes.append(made)
        return output


def read_model(data: bytes) -> onnx.ModelProto:
    """The model of these bytes, with the constants that are operators (``Constant``) among its initialisers.

    Raises:
        PassError: not an ONNX model.
    """
    try:
        model = parse_model(data)
    except BundleError as error:
        raise PassError(str(error)) from error
    kept: list[onnx.NodeProto] = []
    for node in model.graph.node:
        if node.op_type == "Constant" and not node.domain and node.attribute[0].name == "value":
            tensor = model.graph.initializer.add()
            tensor.CopyFrom(node.attribute[0].t)
            tensor.name = node.output[0]
        else:
            kept.append(node)
    del model.graph.node[:]
    model.graph.node.extend(kept)
    return model


def drop_listed_constants(model: onnx.ModelProto) -> None:
    """Take the initialisers out of the inputs, where old files list them, in place; what is left is given by a caller.

    From IR version 4 on they need not be listed.
    """
    constants = {one.name for one in model.graph.initializer}
    given = [one for one in model.graph.input if one.name not in constants]
    if len(given) < len(model.graph.input):
        del model.graph.input[:]
        model.graph.input.extend(given)
        model.ir_version = max(model.ir_version, _UNLISTED)


def write_model(model: onnx.ModelProto) -> bytes:
    """Check and write; the same bytes for the same model."""
    onnx.checker.check_model(model, full_check=True)
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def layer_weights(model: onnx.ModelProto, least: int) -> list[onnx.TensorProto]:
    """The float32 weights of convolutions, linear layers and products, of ``least`` numbers or more.

    Args:
        model: as ``read_model`` gives it; the tensors are its own.
    """
    used = {node.input[1] for node in nodes(model) if node.op_type in LAYERS}
    return [
        tensor
        for tensor in model.graph.initializer
        if tensor.name in used and tensor.data_type == TensorProto.FLOAT and math.prod(tensor.dims) >= least
    ]


def depthwise_weights(model: onnx.ModelProto) -> set[str]:
    """Names of the weights of convolutions that see one channel of several at a time."""
    shapes = {one.name: tuple(one.dims) for one in model.graph.initializer}
    return {
        node.input[1]
        for node in nodes(model)
        if node.op_type in LAYERS
        and any(one.name == "group" and one.i > 1 for one in node.attribute)
        and shapes.get(node.input[1], ())[1:2] == (1,)
    }


def replace_constants(model: onnx.ModelProto, forms: dict[str, StoredForm]) -> None:
    """Put stored forms, by the weight's name, in the places of initialisers."""
    graph = model.graph
    kept = [tensor for tensor in graph.initializer if tensor.name not in forms]
    later = list(graph.node)
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend(kept)
    for form in forms.values():
        graph.initializer.extend(form.constants)
        graph.node.extend(form.nodes)
    graph.node.extend(later)
