"""A network's ONNX graph at smaller widths, for its speed alone: its weights are those of the first channels.

Exporting a narrow network takes seconds, and a table of times needs dozens. So the graph of
the whole network is cut instead, by the names of its weights; what it answers means nothing.
"""

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from model_zoo.graph_tidy import drop_dead_ends
from optimize.errors import PassError
from optimize.pruning.cost import Widths

_LAYERS = ("Conv", "Gemm")
_NORM = "BatchNormalization"


def narrow_graph(model: bytes, widths: Widths) -> bytes:
    """The graph with so many channels in and out of its layers, and its logits alone.

    A depthwise convolution that has no layer's name (a mean, for one) is as wide as what comes into it.

    Args:
        model: as ``export_onnx`` writes it.
        widths: of the network's layers by name; batch norms that were folded are not looked for.
    Raises:
        PassError: the graph does not name its layers so.
    """
    whole = onnx.load_from_string(model)
    graph = whole.graph
    del graph.output[1:], graph.value_info[:]
    drop_dead_ends(graph)
    arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    cut: dict[str, NDArray[np.generic]] = {}
    channels: dict[str, int] = {}
    for node in graph.node:
        before = next((channels[name] for name in node.input if name in channels), None)
        if node.op_type in (*_LAYERS, _NORM):
            sizes = widths.get(node.input[1].removesuffix(".weight"))
            if sizes is None and (before is None or not _is_depthwise(node, arrays)):
                raise PassError(
                    f"the time of narrower layers can't be measured: {node.name} is not known by its weights"
                )
            inputs, before = sizes or (before or 0, before or 0)
            _narrow(node, arrays, cut, inputs, before)
        channels.update(dict.fromkeys(node.output, before) if before is not None else {})
    for tensor in graph.initializer:
        if tensor.name in cut:
            tensor.CopyFrom(numpy_helper.from_array(cut.pop(tensor.name), tensor.name))
    graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in cut.items())
    drop_dead_ends(graph)
    data: bytes = whole.SerializeToString(deterministic=True)
    return data


def _narrow(
    node: onnx.NodeProto,
    arrays: dict[str, NDArray[np.generic]],
    cut: dict[str, NDArray[np.generic]],
    inputs: int,
    outputs: int,
) -> None:
    """Cut what is the node's own; a bias may be shared with others, so each node gets one of its own."""
    per_channel = 1 if node.op_type == _NORM else 2
    for place in range(per_channel, len(node.input)):
        name = f"{node.name}/{place}"
        cut[name] = arrays[node.input[place]][:outputs]
        node.input[place] = name
    if node.op_type == _NORM:
        return
    weight = arrays[node.input[1]]
    is_depthwise = _is_depthwise(node, arrays)
    cut[node.input[1]] = weight[:outputs] if is_depthwise else weight[:outputs, :inputs]
    for attribute in node.attribute:
        if is_depthwise and attribute.name == "group":
            attribute.i = outputs


def _is_depthwise(node: onnx.NodeProto, arrays: dict[str, NDArray[np.generic]]) -> bool:
    groups = next((one.i for one in node.attribute if one.name == "group"), 1)
    return node.op_type == "Conv" and groups == len(arrays[node.input[1]]) > 1
