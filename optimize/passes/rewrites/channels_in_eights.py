"""Channels in multiples of eight, filled up with some that are nothing.

Kernels work on four, eight or sixteen channels at a time, and engines have slow ones for other widths
(``docs/passes.md`` has figures). A layer of odd width gets filters of zeros, and who takes its output
weighs these by zero. Between the two may stand operators that look at one channel at a time: clamps and curves,
pooling, depthwise convolutions, roundings to codes. What else uses a width (a sum, a joining) keeps it as it is.
"""

from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np
import onnx

from optimize.passes.plain_form import attributes_of, layer_name
from optimize.passes.rewrites.graph_view import Array, GraphView, like

EIGHT = 8
_BY_CHANNEL = frozenset(
    {"AveragePool", "Clip", "DequantizeLinear", "Elu", "HardSigmoid", "HardSwish", "LeakyRelu", "MaxPool"}
    | {"QuantizeLinear", "Relu", "Sigmoid", "Tanh"}
)


@dataclass(slots=True)
class _Stretch:
    """A layer, the depthwise convolutions after it, and who takes what comes of them."""

    first: onnx.NodeProto
    channels: int
    deep: list[onnx.NodeProto] = field(default_factory=list)
    last: onnx.NodeProto | None = None


def pad_channels(model: onnx.ModelProto, wanted: Collection[str] | None = None) -> list[str]:
    """See ``Rewrite``: the widest first."""
    view = GraphView(model)
    found = [one for node in model.graph.node if (one := _stretch(node, view)) is not None]
    found = [one for one in found if wanted is None or layer_name(one.first) in wanted]
    changed = {id(node): node for one in found for node in (one.first, *one.deep, one.last) if node is not None}
    more: dict[int, list[onnx.NodeProto]] = {key: [] for key in changed}
    for one in found:
        count = -one.channels % EIGHT
        for node in (one.first, *one.deep):
            for place in range(1, len(node.input)):
                node.input[place] = _padded(node.input[place], 0, count, view, more[id(node)])
        for node in one.deep:
            group = next(attribute for attribute in node.attribute if attribute.name == "group")
            group.i += count
        if one.last is not None:
            one.last.input[1] = _padded(one.last.input[1], 1, count, view, more[id(one.last)])
    for key, node in changed.items():
        view.replace(node, [*more[key], node])
    names = [layer_name(one.first) for one in sorted(found, key=lambda one: -one.channels)]
    view.finish()
    return names


def _stretch(node: onnx.NodeProto, view: GraphView) -> _Stretch | None:
    """From a layer of odd width to who takes its channels; None where they can't be filled up."""
    weights = _weights(node, view)
    if weights is None or _groups(node) != 1 or len(weights) % EIGHT == 0 or not _can_be_padded(node, view):
        return None
    found, name, is_flat = _Stretch(node, len(weights)), str(node.output[0]), False
    while (user := view.only_user(name)) is not None and user.input[0] == name:
        known, place = _weights(user, view), view.shape(name)
        if user.op_type == "GlobalAveragePool" or (user.op_type in _BY_CHANNEL and _is_one_scale(user, view)):
            name = str(user.output[0])
        elif user.op_type == "Flatten" and attributes_of(user).get("axis", 1) == 1 and place[2:] == (1, 1):
            name, is_flat = str(user.output[0]), True
        elif known is None or not _can_be_padded(user, view):
            return None
        elif user.op_type == "Conv" and _groups(user) == found.channels == len(known) > 1:
            found.deep.append(user)
            name = str(user.output[0])
        else:
            takes = _groups(user) == 1 and is_flat == (user.op_type == "Gemm") and known.shape[1] == found.channels
            found.last = user
            return found if takes else None
    return None


def _weights(node: onnx.NodeProto, view: GraphView) -> Array | None:
    """Of a convolution, or of a linear layer whose rows are its outputs."""
    given = attributes_of(node)
    is_layer = node.op_type == "Conv" or (node.op_type == "Gemm" and given.get("transB", 0) == 1)
    return view.weights(node.input[1]) if is_layer else None


def _groups(node: onnx.NodeProto) -> int:
    return int(attributes_of(node).get("group", 1))


def _is_one_scale(node: onnx.NodeProto, view: GraphView) -> bool:
    """Whether a rounding has one scale for all channels; true of what is no rounding."""
    if node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
        return True
    return node.input[1] in view.constants and view.constants[node.input[1]].size == 1


def _can_be_padded(node: onnx.NodeProto, view: GraphView) -> bool:
    """Whether weights and bias are constants, and a code of 0 means 0."""
    for name in node.input[1:]:
        maker = view.codes_of(name)
        if view.weights(name) is None or (maker is not None and any(map(np.any, _zeros(maker, view)))):
            return False
    return True


def _zeros(maker: onnx.NodeProto, view: GraphView) -> list[Array]:
    return [view.constants[name] for name in maker.input[2:]]


def _padded(name: str, axis: int, count: int, view: GraphView, before: list[onnx.NodeProto]) -> str:
    """A weight or a bias with so many zeros more; what makes it of its codes goes into ``before``."""
    maker = view.codes_of(name)
    if maker is None:
        return view.constant(f"{name}/padded", _with_zeros(view.constants[name], axis, count))
    codes = _with_zeros(view.constants[maker.input[0]], axis, count)
    inputs = [view.constant(f"{maker.input[0]}/padded", codes)]
    for parameter in maker.input[1:]:
        value = view.constants[parameter]
        by_output = axis == 0 and value.size > 1  # the last again: a bias has its layer's scale, which engines look at
        filled = np.pad(value, (0, count), mode="edge") if by_output else value
        inputs.append(view.constant(f"{parameter}/padded", filled) if by_output else parameter)
    node = like(maker, inputs, view.free(f"{name}/padded"))
    before.append(node)
    view.makers[node.output[0]] = node
    return str(node.output[0])


def _with_zeros(value: Array, axis: int, count: int) -> Array:
    return np.pad(value, [(0, count if place == axis else 0) for place in range(value.ndim)])
