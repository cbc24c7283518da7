"""Normalisation within the first convolution, of float graphs.

Pixels · a + b, and then a convolution by w, is a convolution of the pixels by w · a with another bias: two
operators over the whole picture less. Where the convolution pads, what it pads with is 0 after the normalisation, so
b can't go into the bias; it stays in front, as b / a, and only the product goes.
"""

from collections.abc import Collection
from typing import cast

import numpy as np
import onnx
from numpy.typing import NDArray

from optimize.passes.plain_form import attributes_of, layer_name
from optimize.passes.rewrites.graph_view import GraphView, made

_ARITHMETIC = ("Add", "Sub", "Mul", "Div")
Numbers = NDArray[np.float64]


def normalise_within(model: onnx.ModelProto, wanted: Collection[str] | None = None) -> list[str]:
    """See ``Rewrite``; it is one layer."""
    view = GraphView(model)
    for node in model.graph.node:
        if node.op_type == "Conv":
            name = layer_name(node)
            if (wanted is None or name in wanted) and (nodes := _folded(node, view)):
                view.replace(node, nodes)
                view.finish()
                return [name]
            return []
    return []


def _folded(node: onnx.NodeProto, view: GraphView) -> list[onnx.NodeProto]:
    """Nothing where there is nothing to gain."""
    weights, given = view.constants.get(node.input[1]), attributes_of(node)
    if weights is None or weights.dtype != np.float32 or weights.ndim != 4 or given.get("group", 1) != 1:
        return []
    channels = weights.shape[1]
    chain = _before(node, view)
    factor, shift = np.ones(channels), np.zeros(channels)
    for one in reversed(chain):
        known = _per_channel(one, view, channels)
        if known is None:
            return []
        factor, shift = _after(one, known, factor, shift)
    if not chain or not (factor.all() and np.isfinite(factor).all() and np.isfinite(shift).all()):
        return []
    pads = any(given.get("pads", ())) or given.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID")
    stays = pads and bool(shift.any())
    if stays and len(chain) < 2:
        return []
    return _written(node, view, chain[-1].input[0], factor, shift, stays=stays)


def _written(
    node: onnx.NodeProto, view: GraphView, pixels: str, factor: Numbers, shift: Numbers, *, stays: bool
) -> list[onnx.NodeProto]:
    name = layer_name(node)
    weights = view.constants[node.input[1]].astype(np.float64)
    bias = view.constants[node.input[2]].astype(np.float64) if len(node.input) > 2 else np.zeros(len(weights))
    nodes, source = [], pixels
    if stays:
        offset = view.constant(f"{name}/offset", (shift / factor).astype(np.float32).reshape(1, -1, 1, 1))
        source = view.free(f"{name}/centred")
        nodes.append(made("Add", [pixels, offset], source))
    else:
        bias = bias + np.einsum("oihw,i->o", weights, shift)
    scaled = (weights * factor.reshape(1, -1, 1, 1)).astype(np.float32)
    whole = onnx.NodeProto()
    whole.CopyFrom(node)
    del whole.input[:]
    whole.input.extend(
        [
            source,
            view.constant(f"{node.input[1]}/scaled", scaled),
            view.constant(f"{name}/shifted", bias.astype(np.float32)),
        ]
    )
    return [*nodes, whole]


def _before(node: onnx.NodeProto, view: GraphView) -> list[onnx.NodeProto]:
    """The arithmetic between the pixels and the convolution, the last first."""
    found: list[onnx.NodeProto] = []
    name = node.input[0]
    while (maker := view.makers.get(name)) is not None and maker.op_type in _ARITHMETIC:
        if view.only_user(name) is None or maker.input[1] not in view.constants:
            break
        found.append(maker)
        name = maker.input[0]
    return found


def _per_channel(node: onnx.NodeProto, view: GraphView, channels: int) -> Numbers | None:
    """The constant of an operator, (channels,); None where it is another at every place."""
    value = view.constants[node.input[1]].astype(np.float64)
    if value.size == 1:
        return np.full(channels, value.item())
    if value.ndim >= 3 and value.shape[-3:] == (channels, 1, 1) and value.size == channels:
        return cast(Numbers, value.reshape(channels))
    return None


def _after(node: onnx.NodeProto, known: Numbers, factor: Numbers, shift: Numbers) -> tuple[Numbers, Numbers]:
    if node.op_type == "Mul":
        return factor * known, shift * known
    if node.op_type == "Div":
        return factor / known, shift / known
    return factor, shift + (known if node.op_type == "Add" else -known)
