"""1×1 convolutions as products of matrices.

A 1×1 convolution of stride 1 multiplies the vector of channels at each place by one matrix. Engines
have kernels of their own for it and for products, not always of the same quality: ONNX Runtime's product of bytes
uses instructions (AMX) that its convolution does not reach, most of all where many channels come in.

In codes the picture is turned so that channels come last, and its places are the rows of a ``Gemm``, which takes the
bias and is followed by its rounding: one integer kernel. The engine moves the turning through the graph, and drops
what meets its own. In float, channels stay where they are: ``MatMul`` of the weights by the picture, and
the bias added.
"""

from collections.abc import Collection

import numpy as np
import onnx

from optimize.passes.plain_form import attributes_of, layer_name
from optimize.passes.rewrites.graph_view import GraphView, like, made

_LAST, _FIRST = [0, 2, 3, 1], [0, 3, 1, 2]


def pointwise_as_products(model: onnx.ModelProto, wanted: Collection[str] | None = None) -> list[str]:
    """See ``Rewrite``: those of most input channels first."""
    view = GraphView(model)
    found = [node for node in model.graph.node if _is_pointwise(node, view)]
    found = [node for node in found if wanted is None or layer_name(node) in wanted]
    for node in found:
        rounding = view.only_user(node.output[0])
        in_codes = view.codes_of(node.input[0]) is not None and view.codes_of(node.input[1]) is not None
        if in_codes and rounding is not None and rounding.op_type == "QuantizeLinear":
            view.replace(rounding, _in_codes(node, rounding, view))
        elif all(one in view.constants for one in node.input[1:]):
            view.replace(node, _in_float(node, view))
    channels = {layer_name(node): _size(node, view)[1] for node in found}
    view.finish()
    there = {layer_name(node) for node in model.graph.node if node.op_type != "Conv"}
    return sorted((name for name in channels if name in there), key=lambda name: -channels[name])


def _is_pointwise(node: onnx.NodeProto, view: GraphView) -> bool:
    weight = view.weights(node.input[1]) if node.op_type == "Conv" else None
    if weight is None or weight.ndim != 4 or weight.shape[2:] != (1, 1):
        return False
    given, sizes = attributes_of(node), view.shape(node.output[0])
    moves = [given.get("group", 1) - 1, *(size - 1 for size in given.get("strides", ())), *given.get("pads", ())]
    return not any(moves) and len(sizes) == 4 and all(sizes[1:])


def _size(node: onnx.NodeProto, view: GraphView) -> tuple[int, ...]:
    """(outputs, inputs, 1, 1)."""
    weight = view.weights(node.input[1])
    return () if weight is None else weight.shape


def _in_codes(node: onnx.NodeProto, rounding: onnx.NodeProto, view: GraphView) -> list[onnx.NodeProto]:
    """From the codes that the convolution's input is made of to those that its output is rounded to."""
    outputs, inputs = _size(node, view)[:2]
    name, sizes = layer_name(node), view.shape(node.output[0])
    pixels, weights = view.codes_of(node.input[0]), view.codes_of(node.input[1])
    if pixels is None or weights is None:
        return [rounding]
    flat = np.array([-1, inputs], np.int64)
    back = np.array([-1, sizes[2], sizes[3], outputs], np.int64)
    matrix = view.constant(f"{weights.input[0]}/matrix", view.constants[weights.input[0]].reshape(outputs, inputs))
    turned, rows, real, factors, product, codes, places = (
        view.free(f"{name}/{part}") for part in ("turned", "rows", "real", "weights", "product", "codes", "places")
    )
    return [
        made("Transpose", [pixels.input[0]], turned, perm=_LAST),
        made("Reshape", [turned, view.constant(f"{name}/as_rows", flat)], rows),
        like(pixels, [rows, *pixels.input[1:]], real),
        like(weights, [matrix, *weights.input[1:]], factors),
        made("Gemm", [real, factors, *node.input[2:]], product, name, transB=1),
        like(rounding, [product, *rounding.input[1:]], codes),
        made("Reshape", [codes, view.constant(f"{name}/as_places", back)], places),
        made("Transpose", [places], rounding.output[0], perm=_FIRST),
    ]


def _in_float(node: onnx.NodeProto, view: GraphView) -> list[onnx.NodeProto]:
    outputs, inputs = _size(node, view)[:2]
    name, sizes = layer_name(node), view.shape(node.output[0])
    weights = view.constants[node.input[1]].reshape(outputs, inputs)
    columns, product, added = (view.free(f"{name}/{part}") for part in ("columns", "product", "added"))
    in_columns = view.constant(f"{name}/as_columns", np.array([0, 0, -1], np.int64))
    in_places = view.constant(f"{name}/as_places", np.array([0, outputs, *sizes[2:]], np.int64))
    nodes = [
        made("Reshape", [node.input[0], in_columns], columns),
        made("MatMul", [view.constant(f"{node.input[1]}/matrix", weights), columns], product, name),
    ]
    if len(node.input) > 2:
        bias = view.constant(f"{node.input[2]}/column", view.constants[node.input[2]].reshape(-1, 1))
        nodes.append(made("Add", [product, bias], added))
    return [*nodes, made("Reshape", [nodes[-1].output[0], in_places], node.output[0])]
