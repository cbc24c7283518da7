"""A second output for classifiers: which places of the picture speak for the best class.

The class-activation map (Zhou et al., CVPR 2016, arXiv:1512.04150). A network that
pools its last features f over all places and ends in one linear layer has its
explanation inside: logit k is bias k plus the mean over all places of

    map k (x, y) = Σ_c w[k, c] · f_c(x, y)

The textbook computes this for every class, as a 1×1 convolution by a second copy of the
classifier: a fifth more time and, in a small network, twice the file. Only one map is
wanted, that of the best class, so its row of the weights is looked up instead:

    logits → ArgMax → Gather (row k of the weights) ──┐
    features (N, C, h, w) → Reshape (N, C, h·w) ──────┴─ MatMul → class_activation (N, h, w)

That is one product of a row by a matrix, about one percent of the time, and no new weights.
In a quantised graph the row's *codes* are looked up, and its scale: the weights stay one
constant of bytes, and engines melt the classifier into one integer operator as before.
``benchmarks/class_activation.py`` measures both.

One function serves graphs that are exported, imported and quantised: it looks for the
pattern (``graph_pooled_head.py``) and leaves a graph without it as it is. No map can be had
from a network with a hidden layer behind the pooling (MobileNetV3), without a linear layer
(SqueezeNet), that pools otherwise, or whose last softmax could not be taken off.
"""

from collections.abc import Iterator

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from model_zoo.graph_pooled_head import LOGITS, PooledHead, Weights, find_pooled_head
from model_zoo.graph_tidy import drop_dead_ends
from model_zoo.spec import CLASS_ACTIVATION, OutputSpec

LOGITS_OUTPUT = OutputSpec(LOGITS, "logits", "softmax")
MAP_OUTPUT = OutputSpec(CLASS_ACTIVATION, "class_activation", "none")
_PREFIX = f"{CLASS_ACTIVATION}/"


def add_class_activation(model: onnx.ModelProto) -> bool:
    """Give a classifier the output ``class_activation``, (N, h, w) float32, where it has what that takes.

    Args:
        model: output "logits", (N, classes); changed in place.
    Returns:
        Whether the output is there now; otherwise the model is as it was.
    """
    graph = model.graph
    head = find_pooled_head(model)
    taken = (name for node in graph.node for name in node.output)
    if head is None or any(name.startswith(CLASS_ACTIVATION) for name in taken):
        return False
    graph.node.extend([*_row_of_best(head.weights), *_map_of_row(head)])
    for name, shape in (("row", [0, 1, -1]), ("places", [0, 0, -1]), ("map", [0, head.height, head.width])):
        graph.initializer.append(numpy_helper.from_array(np.array(shape, np.int64), f"{_PREFIX}{name}_shape"))
    places = helper.make_tensor_value_info(CLASS_ACTIVATION, TensorProto.FLOAT, [None, head.height, head.width])
    logits = next(output.type.tensor_type.shape.dim for output in graph.output if output.name == LOGITS)
    for batch in logits[:1]:
        places.type.tensor_type.shape.dim[0].CopyFrom(batch)
    graph.output.append(places)
    return True


def outputs_of(model: bytes, first: OutputSpec = LOGITS_OUTPUT) -> tuple[OutputSpec, ...]:
    """The outputs of a graph made here, for the manifest: ``first``, and the map where the graph has it."""
    names = [output.name for output in onnx.load_from_string(model).graph.output]
    return (first, MAP_OUTPUT) if CLASS_ACTIVATION in names else (first,)


def remove_class_activation(model: onnx.ModelProto) -> bool:
    """Take the output and all that only it needs out of a model, in place; whether it was there."""
    kept = [output for output in model.graph.output if output.name != CLASS_ACTIVATION]
    if len(kept) == len(model.graph.output):
        return False
    del model.graph.output[:]
    model.graph.output.extend(kept)
    drop_dead_ends(model.graph)
    return True


def map_error(model: onnx.ModelProto, logits: NDArray[np.floating], maps: NDArray[np.floating]) -> float:
    """How far maps are from explaining the logits, as a share of the largest value of both.

    A map's mean and its class's bias make its logit, however the map was computed.

    Args:
        model: with the output.
        logits: (N, classes), from elsewhere.
        maps: (N, h, w), of each row's first class.
    Returns:
        0 when they agree; NaN for NaN, infinity for a model without a pooled head.
    """
    head = find_pooled_head(model)
    if head is None:
        return float("inf")
    best = logits.argmax(axis=1)
    wanted = logits[np.arange(len(best)), best]
    told = maps.mean(axis=(1, 2), dtype=np.float64) + np.broadcast_to(head.bias, logits.shape[1:])[best]
    largest = max(float(np.abs(maps).max()), float(np.abs(wanted).max()), 1e-9)
    return float(np.abs(told - wanted).max() / largest)


def _row_of_best(weights: Weights) -> Iterator[onnx.NodeProto]:
    """Look up the weights of each picture's best class: "weights", (N, C), or (C, N) where classes are columns."""
    yield _node("ArgMax", [LOGITS], "best", axis=1, keepdims=0)
    if not weights.scale:
        yield _lookup(weights.name, "weights", weights.axis)
        return
    yield _lookup(weights.name, "codes", weights.axis)
    parameters = [weights.scale, *([weights.zero] if weights.zero else [])]
    if weights.scale_per_class:
        for table, what in zip(parameters, ("scale", "zero"), strict=False):
            yield _lookup(table, what, 0)
        parameters = [f"{_PREFIX}{what}" for what in ("scale", "zero")[: len(parameters)]]
    attributes = {"axis": weights.axis} if weights.scale_per_class else {}
    yield _node("DequantizeLinear", [f"{_PREFIX}codes", *parameters], "weights", **attributes)


def _map_of_row(head: PooledHead) -> Iterator[onnx.NodeProto]:
    """(N, 1, C) · (N, C, h·w), as float32 in the form of the features."""
    row = f"{_PREFIX}weights"
    if head.weights.axis:
        yield _node("Transpose", [row], "turned")
        row = f"{_PREFIX}turned"
    yield _node("Reshape", [row, f"{_PREFIX}row_shape"], "row")
    yield _node("Reshape", [head.features, f"{_PREFIX}places_shape"], "places")
    yield _node("MatMul", [f"{_PREFIX}row", f"{_PREFIX}places"], "product")
    last = _node("Reshape", [f"{_PREFIX}product", f"{_PREFIX}map_shape"], "map")
    if not head.weights.is_float32:
        yield last
        last = _node("Cast", [f"{_PREFIX}map"], "float", to=TensorProto.FLOAT)
    last.output[0] = CLASS_ACTIVATION
    yield last


def _lookup(table: str, what: str, axis: int) -> onnx.NodeProto:
    return _node("Gather", [table, f"{_PREFIX}best"], what, axis=axis)


def _node(operator: str, inputs: list[str], output: str, **attributes: int) -> onnx.NodeProto:
    name = f"{_PREFIX}{output}"
    node = helper.make_node(operator, inputs, [name], name)
    node.attribute.extend(helper.make_attribute(key, value) for key, value in attributes.items())
    return node
