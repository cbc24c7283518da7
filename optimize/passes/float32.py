"""Float16 made float32 again: for CPUs, and for passes that compute in float32.

Weights, constants, casts and outputs of 16 bits become 32 bits wide, which changes no number that is stored; what was
rounded to 16 bits between layers no longer is. Casts that then change nothing go. The file doubles, and a CPU
without float16 kernels, which converts before and after every operator, no longer has to.
"""

from collections.abc import Iterator

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from optimize.passes import Pass, PassConfig
from optimize.passes.layer_weights import read_model, write_model
from optimize.passes.pictures import Pictures


class Float32(PassConfig):
    """Nothing to choose."""


def float32(model: bytes, _: Pictures, config: Float32) -> bytes:
    """Widen; what has no float16 comes back as it is.

    Args:
        model: ONNX.
        config: has no fields.
    Raises:
        PassError: not an ONNX model.
    """
    parent = read_model(model)
    if not widen(parent):
        return model
    return write_model(parent)


def widen(model: onnx.ModelProto) -> bool:
    """Rewrite in place; a graph without float16 stays as it is, and False is said."""
    graph = model.graph
    halves = [one for one in graph.initializer if one.data_type == TensorProto.FLOAT16]
    if not (halves or any(tensor.data_type == TensorProto.FLOAT16 for tensor in _held(graph)) or _casts_down(graph)):
        return False
    for tensor in (*halves, *_held(graph)):
        if tensor.data_type == TensorProto.FLOAT16:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), tensor.name))
    for node in graph.node:
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i == TensorProto.FLOAT16:
                attribute.i = TensorProto.FLOAT
    for value in (*graph.output, *graph.value_info):
        if value.type.tensor_type.elem_type == TensorProto.FLOAT16:
            value.type.tensor_type.elem_type = TensorProto.FLOAT
    _drop_casts(model)
    return True


def _held(graph: onnx.GraphProto) -> Iterator[TensorProto]:
    """Tensors that nodes hold: of ``Constant`` and ``ConstantOfShape``."""
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.TENSOR:
                yield attribute.t


def _casts_down(graph: onnx.GraphProto) -> bool:
    return any(
        node.op_type == "Cast" and helper.get_node_attr_value(node, "to") == TensorProto.FLOAT16 for node in graph.node
    )


def _drop_casts(model: onnx.ModelProto) -> None:
    """Those from float32 to float32; the tensor before takes an output's name where the cast made it."""
    graph = model.graph
    known = onnx.shape_inference.infer_shapes(model).graph
    floats = {one.name for one in known.value_info if one.type.tensor_type.elem_type == TensorProto.FLOAT}
    floats |= {one.name for one in graph.initializer if one.data_type == TensorProto.FLOAT}
    floats |= {one.name for one in graph.output if one.type.tensor_type.elem_type == TensorProto.FLOAT}
    constants = {one.name for one in graph.initializer}
    outputs = {one.name for one in graph.output}
    same: dict[str, str] = {}
    kept = []
    for node in graph.node:
        for place, name in enumerate(node.input):
            node.input[place] = same.get(name, name)
        source, target = str(node.input[0]) if node.input else "", str(node.output[0])
        to_float = node.op_type == "Cast" and helper.get_node_attr_value(node, "to") == TensorProto.FLOAT
        if not (to_float and source in floats) or (target in outputs and source in constants | outputs):
            kept.append(node)
        elif target not in outputs:
            same[target] = source
        else:
            _rename(kept, source, target)
            same[source] = target
    del graph.node[:], graph.value_info[:]
    graph.node.extend(kept)


def _rename(nodes: list[onnx.NodeProto], old: str, new: str) -> None:
    for node in nodes:
        for names in (node.input, node.output):
            for place, name in enumerate(names):
                if name == old:
                    names[place] = new


PASS: Pass[Float32] = Pass(Float32, float32, needs_pictures=False)
