"""Rewriting a stranger's graph so that it takes pixels and gives logits.

Before: float input in the graph's own layout, perhaps a batch of one, perhaps
a softmax at the end. After: uint8 NHWC "images" in, float32 (N, classes)
"logits" out, with layout and normalisation inside:

    images → Transpose → Cast → Sub mean → Div std → [the graph] → (Flatten, Cast) → logits

Every function changes the model it is given. Whether the result computes the
same is not believed but measured, in ``onnx_import.py``.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import compose, helper, inliner, numpy_helper, version_converter

from model_zoo.errors import ImportRefusedError
from model_zoo.onnx_facts import GraphInput
from model_zoo.onnx_safety import graphs, subgraphs

INPUT_NAME = "images"
OUTPUT_NAME = "logits"
OLDEST_OPSET = 11
TARGET_OPSET = 13

_SHAPE_ONLY = {"Identity", "Flatten", "Reshape", "Squeeze", "Dropout"}
LAST_STEPS = {"Softmax", "LogSoftmax", "Sigmoid"}
_PREFIX = "quickeye_"


def modernise(model: onnx.ModelProto) -> onnx.ModelProto:
    """Old files in today's form: no initialisers among the inputs, functions inlined, opset 11 or newer.

    Raises:
        ImportRefusedError: an old operator that the converter does not know.
    """
    if model.functions:
        model = inliner.inline_local_functions(model)
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in constants]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    model.ir_version = max(model.ir_version, 8)
    opset = opset_of(model)
    if opset >= OLDEST_OPSET:
        return model
    try:
        return version_converter.convert_version(model, TARGET_OPSET)
    except (RuntimeError, version_converter.ConvertError) as error:
        raise ImportRefusedError(
            f"the graph is of opset {opset} and can't be brought to {TARGET_OPSET}: {str(error)[:300]}; "
            "export it again with a newer opset"
        ) from error


def opset_of(model: onnx.ModelProto) -> int:
    """The version of ONNX's own operators that the graph is written in."""
    return next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 1)


def strip_last_step(model: onnx.ModelProto, output: str) -> tuple[str, str | None]:
    """Take a softmax, log-softmax or sigmoid off the end, so that logits are logits.

    Operators behind it that only change the shape stay.

    Returns:
        The name of the output now, and what was taken off, None when nothing was.
    """
    makers = {name: node for node in model.graph.node for name in node.output}
    name, after = output, None
    while name in makers and makers[name].op_type in _SHAPE_ONLY:
        after, name = makers[name], makers[name].input[0]
    last = makers.get(name)
    if last is None or last.op_type not in LAST_STEPS or not _over_classes(model, last):
        return output, None
    if after is None:
        return last.input[0], last.op_type
    after.input[0] = last.input[0]
    return output, last.op_type


def _over_classes(model: onnx.ModelProto, node: onnx.NodeProto) -> bool:
    """Whether a softmax runs over the classes: axis 1, or the last one (then the test run decides)."""
    axis = next((a.i for a in node.attribute if a.name == "axis"), -1 if opset_of(model) >= 13 else 1)
    return node.op_type == "Sigmoid" or axis in (1, -1)


def cut_to(model: onnx.ModelProto, output: str) -> None:
    """Keep what ``output`` depends on; it becomes the only output, of unknown type."""
    graph = model.graph
    needed, kept = {output}, []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            kept.append(node)
            needed.update(node.input)
            needed.update(_captured(node))
    for field, items in (
        (graph.node, kept[::-1]),
        (graph.initializer, [tensor for tensor in graph.initializer if tensor.name in needed]),
        (graph.output, [onnx.ValueInfoProto(name=output)]),
    ):
        copies = list(items)
        del field[:]
        field.extend(copies)
    del graph.value_info[:]


def _captured(node: onnx.NodeProto) -> set[str]:
    """Names that a node's subgraphs may take from outside."""
    names: set[str] = set()
    for graph in subgraphs(node):
        names.update(value.name for value in graph.output)
        for inner in graph.node:
            names.update(inner.input)
            names.update(_captured(inner))
    return names


def open_batch(model: onnx.ModelProto, fixed: int) -> None:
    """Let a graph made for ``fixed`` pictures take any number: constant shapes that begin with it copy the batch."""
    graph = model.graph
    shapes = dict(_constant_shapes(graph))
    for index, node in enumerate(graph.node):
        shape = shapes.get(node.input[1]) if node.op_type == "Reshape" and len(node.input) > 1 else None
        if shape is None or len(shape) < 2 or shape[0] != fixed:
            continue
        # With "allowzero", which torch's exporter writes, a 0 is a size; without, it copies the input's.
        if 0 in shape and any(attribute.name == "allowzero" and attribute.i for attribute in node.attribute):
            continue
        del node.attribute[:]
        node.input[1] = f"{_PREFIX}shape_{index}"
        graph.initializer.append(numpy_helper.from_array(np.array([0, *shape[1:]], np.int64), node.input[1]))


def _constant_shapes(graph: onnx.GraphProto) -> Iterator[tuple[str, list[int]]]:
    """Constant lists of int64, by name."""
    constants = [(tensor.name, tensor) for tensor in graph.initializer]
    constants += [
        (node.output[0], node.attribute[0].t)
        for node in graph.node
        if node.op_type == "Constant" and node.attribute and node.attribute[0].name == "value"
    ]
    for name, tensor in constants:
        if tensor.data_type == onnx.TensorProto.INT64 and len(tensor.dims) == 1:
            yield name, numpy_helper.to_array(tensor).tolist()


def wrap(
    model: onnx.ModelProto,
    source: GraphInput,
    size: tuple[int, int],
    normalisation: tuple[Sequence[float], Sequence[float]],
    batch: int | None,
) -> onnx.ModelProto:
    """Put pixels in front of a graph with one output, and logits behind it.

    Args:
        source: the graph's input; any number of dimensions 1 may follow its output's classes.
        size: height and width in pixels.
        normalisation: mean and std per channel, in 0–255 units.
        batch: the batch the graph is fixed to, None for any.
    """
    names = {name for graph in graphs(model) for node in graph.node for name in (*node.input, *node.output)}
    prefix = "original/" if names & {INPUT_NAME, OUTPUT_NAME} else ""
    if prefix:
        model = compose.add_prefix(model, prefix)
    graph = model.graph
    body = list(graph.node)
    output = graph.output[0].name
    del graph.node[:], graph.input[:], graph.output[:]
    graph.node.extend(_head(graph, source, f"{prefix}{source.name}", normalisation))
    graph.node.extend(body)
    graph.node.append(helper.make_node("Flatten", [output], [f"{_PREFIX}flat"], axis=1))
    graph.node.append(helper.make_node("Cast", [f"{_PREFIX}flat"], [OUTPUT_NAME], to=onnx.TensorProto.FLOAT))
    rows = "N" if batch is None else batch
    pixels = [rows, *size, source.channels]
    graph.input.append(helper.make_tensor_value_info(INPUT_NAME, onnx.TensorProto.UINT8, pixels))
    graph.output.append(helper.make_tensor_value_info(OUTPUT_NAME, onnx.TensorProto.FLOAT, [rows, "classes"]))
    return model


def _head(
    graph: onnx.GraphProto, source: GraphInput, target: str, normalisation: tuple[Sequence[float], Sequence[float]]
) -> list[onnx.NodeProto]:
    """Nodes from ``images`` to the graph's own input; adds their constants. Steps that change nothing are left out."""
    channels_first = source.layout == "NCHW"
    steps: list[tuple[str, list[str], dict[str, Any]]] = []
    if channels_first:
        steps.append(("Transpose", [], {"perm": [0, 3, 1, 2]}))
    if source.element != "uint8":
        steps.append(("Cast", [], {"to": onnx.TensorProto.FLOAT}))
    for operator, values, neutral in (("Sub", normalisation[0], 0), ("Div", normalisation[1], 1)):
        if any(value != neutral for value in values):
            shape = (1, source.channels, 1, 1) if channels_first else (source.channels,)
            name = f"{_PREFIX}{'mean' if operator == 'Sub' else 'std'}"
            graph.initializer.append(numpy_helper.from_array(np.array(values, np.float32).reshape(shape), name))
            steps.append((operator, [name], {}))
    if source.element == "float16":
        steps.append(("Cast", [], {"to": onnx.TensorProto.FLOAT16}))
    steps = steps or [("Identity", [], {})]
    names = [INPUT_NAME, *(f"{_PREFIX}input_{i}" for i in range(1, len(steps))), target]
    return [
        helper.make_node(operator, [names[i], *constants], [names[i + 1]], f"{_PREFIX}step_{i}", **attributes)
        for i, (operator, constants, attributes) in enumerate(steps)
    ]
