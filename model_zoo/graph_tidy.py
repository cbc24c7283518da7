"""Make an exported ONNX graph plain, readable and the same bytes every time.

torch's exporter leaves stack traces, module hierarchies and running numbers in
a graph. They change with the version of a library or the folder it stands in,
and say nothing to a reader. Here they go, and every node is named after the
layer whose weights it uses.
"""

import math
from collections import Counter
from collections.abc import Iterator

import onnx
from onnx import numpy_helper

PRODUCER = "quickeye"


def tidy(model: onnx.ModelProto) -> onnx.ModelProto:
    """Tidy in place: no traces, no dead ends, stable names, one pooling operator.

    Args:
        model: without functions or subgraphs whose names would clash; outputs keep their names.
    Returns:
        The same object.
    """
    graph = model.graph
    _merge_equal_constants(graph)
    _pool_by_name(graph)
    _flatten_by_name(model)
    drop_dead_ends(graph)
    _rename(graph)
    _strip_traces(model)
    return model


def set_metadata(model: onnx.ModelProto, facts: dict[str, str]) -> None:
    """Replace ``metadata_props`` by ``facts``, in their order."""
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, facts)


def drop_prefix(model: onnx.ModelProto, prefix: str) -> None:
    """Take ``prefix`` off the names of constants, where that leaves no two alike."""
    taken = {tensor.name for tensor in model.graph.initializer}
    taken.update(value.name for value in (*model.graph.input, *model.graph.output))
    renamed: dict[str, str] = {}
    for tensor in model.graph.initializer:
        short = tensor.name.removeprefix(prefix)
        if short not in taken:
            renamed[tensor.name] = short
            tensor.name = short
            taken.add(short)
    for node, position, name in _uses(model.graph):
        node.input[position] = renamed.get(name, name)


def _uses(graph: onnx.GraphProto) -> Iterator[tuple[onnx.NodeProto, int, str]]:
    for node in graph.node:
        for position, name in enumerate(node.input):
            yield node, position, name


def _merge_equal_constants(graph: onnx.GraphProto) -> None:
    """Small constants (bounds of a clip, axes) that are equal become one."""
    first: dict[tuple[int, bytes, tuple[int, ...]], str] = {}
    replaced: dict[str, str] = {}
    for tensor in graph.initializer:
        array = numpy_helper.to_array(tensor)
        if array.size <= 16:
            key = (tensor.data_type, array.tobytes(), tuple(tensor.dims))
            replaced[tensor.name] = first.setdefault(key, tensor.name)
    for node, position, name in _uses(graph):
        node.input[position] = replaced.get(name, name)


def drop_dead_ends(graph: onnx.GraphProto) -> None:
    """Remove nodes and constants that no output depends on."""
    needed = {output.name for output in graph.output}
    kept = []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            kept.append(node)
            needed.update(node.input)
            needed.update(_captured(node))
    kept.reverse()
    constants = [tensor for tensor in graph.initializer if tensor.name in needed]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(kept)
    graph.initializer.extend(constants)


def _captured(node: onnx.NodeProto) -> Iterator[str]:
    """Names that a node's subgraphs (If, Loop) may take from outside."""
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.GRAPH:
            for inner in attribute.g.node:
                yield from inner.input
                yield from _captured(inner)
            yield from (output.name for output in attribute.g.output)


def _pool_by_name(graph: onnx.GraphProto) -> None:
    """A mean over (H, W) is a GlobalAveragePool, the operator that engines have an integer kernel for."""
    arrays = {t.name: numpy_helper.to_array(t) for t in graph.initializer if t.data_type == onnx.TensorProto.INT64}
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        axes = arrays.get(node.input[1]) if node.op_type == "ReduceMean" and len(node.input) > 1 else None
        if axes is None or sorted(axes.tolist()) not in ([2, 3], [-2, -1]):
            nodes.append(node)
            continue
        keeps = next((a.i for a in node.attribute if a.name == "keepdims"), 1)
        pooled = node.output[0] if keeps else f"{node.output[0]}_pooled"
        nodes.append(onnx.helper.make_node("GlobalAveragePool", [node.input[0]], [pooled]))
        if not keeps:
            nodes.append(onnx.helper.make_node("Flatten", [pooled], [node.output[0]], axis=1))
    del graph.node[:]
    graph.node.extend(nodes)


def _flatten_by_name(model: onnx.ModelProto) -> None:
    """A Reshape that leaves the batch and puts all the rest in one row is a Flatten, whatever the batch's size."""
    rows = {one.name: numpy_helper.to_array(one).tolist() for one in model.graph.initializer if list(one.dims) == [2]}
    found = [node for node in model.graph.node if node.op_type == "Reshape" and rows.get(node.input[1], [0])[0] == -1]
    if not found:
        return
    known = {
        one.name: one.type.tensor_type.shape.dim for one in onnx.shape_inference.infer_shapes(model).graph.value_info
    }
    for node in found:
        sizes = [dimension.dim_value for dimension in known.get(node.input[0], ())][1:]
        if sizes and math.prod(sizes) == rows[node.input[1]][1]:
            node.CopyFrom(onnx.helper.make_node("Flatten", [node.input[0]], [node.output[0]], node.name, axis=1))


def _rename(graph: onnx.GraphProto) -> None:
    """Name nodes after their weights' layer, or after their operator and a number."""
    weights = {tensor.name for tensor in graph.initializer}
    fixed = {value.name for value in (*graph.input, *graph.output)} | weights
    counts: Counter[str] = Counter()
    names: dict[str, str] = {}
    for node in graph.node:
        layer = next((name.removesuffix(".weight") for name in node.input if name.endswith(".weight")), node.op_type)
        counts[layer] += 1
        node.name = layer if layer != node.op_type and counts[layer] == 1 else f"{layer}_{counts[layer]}"
        for i, output in enumerate(node.output):
            if output and output not in fixed:
                names[output] = f"{node.name}:{i}"
        for i, output in enumerate(node.output):
            node.output[i] = names.get(output, output)
        for i, source in enumerate(node.input):
            node.input[i] = names.get(source, source)


def _strip_traces(model: onnx.ModelProto) -> None:
    model.producer_name, model.producer_version, model.doc_string, model.domain = PRODUCER, "", "", ""
    graph = model.graph
    graph.name, graph.doc_string = "model", ""
    del graph.value_info[:], graph.metadata_props[:], model.metadata_props[:]
    for item in (*graph.node, *graph.input, *graph.output, *graph.initializer):
        item.doc_string = ""
        del item.metadata_props[:]
