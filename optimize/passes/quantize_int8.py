"""Post-training INT8: unsigned 8-bit activations, signed 8-bit weights, one scale per output channel.

The idea: walk the net once, from the pixels on, with some sixty pictures. At
each layer (1) look at what really arrives, in the codes of the layers before;
(2) round the weights so that the layer's outputs change least, not the weights
(``weight_rounding``); (3) move what shifted on average into the bias; (4) choose
the range of what comes out (``activation_range``); go on with those codes.

Why so: measured on EfficientNet-Lite0, rounding to nearest leaves nine answers
in ten as they were whatever the range method, because the *weights* of a few
early layers carry the error, not the activations. (2) and (3) remove most of
it. The figures are in the model card.

Everything is summed in whole numbers (``float64_operators``), so the result
does not depend on the machine: the same pictures and weights give the same file.

A class-activation map that the float model offers is no part of the walk: it is taken
out before, and made anew from the quantised features and weights.

Layers that 8 bits hurt too much can be left in float: named in ``float_layers``, or found by measuring, as many as
``float_share`` allows (``float_choice``). A tensor that only such layers touch stays in float too (``float_tensors``).

From the same walk, and at little cost beside it, comes the form that TensorRT takes (``symmetric_twin``).

What it does not do: it knows the operators of ``float64_operators`` only, and
does not train.
"""

import difflib
from collections.abc import Callable
from typing import Annotated

import onnx
from pydantic import Field

from model_zoo.graph_class_activation import add_class_activation, remove_class_activation
from optimize.errors import PassError
from optimize.passes import Pass, PassConfig
from optimize.passes.activation_range import RangeMethod
from optimize.passes.coded import Scale
from optimize.passes.float64_operators import WEIGHTED
from optimize.passes.float_choice import choose_float_steps
from optimize.passes.float_graph import FloatGraph, Step, read_float_graph
from optimize.passes.integer_walk import IntegerWalk
from optimize.passes.layer_rounding import Layer
from optimize.passes.layer_weights import read_model
from optimize.passes.pictures import Pictures, require_pictures
from optimize.passes.qdq import write_qdq
from optimize.passes.symmetric_twin import look_up_numbers, write_symmetric

Write = Callable[[FloatGraph, dict[str, Scale], dict[str, Layer]], onnx.ModelProto]


class QuantizeInt8(PassConfig):
    """What a recipe may choose.

    ``pair_safe`` keeps pairs of weights small enough for x86 CPUs without VNNI
    to sum them exactly with their fast instruction. ``float_layers`` are those that
    stay in float, by the name of their node or of what comes out of it. ``float_share`` of the multiply-adds
    may stay in float besides: the layers that gain most by it are found by measuring. ``symmetric_twin``: a step of
    ``quickeye optimize`` puts TensorRT's form beside the graph, see ``quantize_with_twin``.
    """

    range_method: RangeMethod = "percentile"
    percentile: Annotated[float, Field(gt=0.5, lt=1)] = 0.9999
    pair_safe: bool = True
    float_layers: Annotated[list[str], Field(max_length=1000)] = Field(default=[])
    float_share: Annotated[float, Field(ge=0, lt=1)] = 0.0
    symmetric_twin: bool = False


def quantize_int8(model: bytes, pictures: Pictures, config: QuantizeInt8) -> bytes:
    """Calibrate and write.

    Args:
        model: float ONNX, uint8 NHWC in.
        pictures: uint8 (N, height, width, channels); natural, varied, never those that judge the result.
        config: see ``QuantizeInt8``.
    Returns:
        ONNX in QDQ form, with the input, outputs and metadata of ``model``.
    Raises:
        PassError: no pictures, no ONNX model, a graph that the pass does not understand, or a float layer that there is
            not.
    """
    return _written(*_settled(model, pictures, config), write_qdq)


def quantize_with_twin(model: bytes, pictures: Pictures, config: QuantizeInt8) -> tuple[bytes, bytes]:
    """``quantize_int8``'s graph, and its symmetric twin for TensorRT.

    Raises:
        PassError: as ``quantize_int8``.
    """
    settled = _settled(model, pictures, config)
    return _written(*settled, write_qdq), _written(*settled, write_symmetric)


def _settled(model: bytes, pictures: Pictures, config: QuantizeInt8) -> tuple[FloatGraph, IntegerWalk, bool]:
    """What the calibration found, and whether ``model`` had a class-activation map."""
    require_pictures(pictures)
    parent = read_model(model)
    explained = remove_class_activation(parent)
    plain = parent.SerializeToString()
    graph = read_float_graph(plain)
    in_float = _float_steps(graph, config.float_layers)
    walk = _walked(graph, pictures, config, in_float)
    if config.float_share and (more := choose_float_steps(plain, graph, walk, pictures, config.float_share)):
        walk = _walked(graph, pictures, config, in_float | more)
    return graph, walk, explained


def _written(graph: FloatGraph, walk: IntegerWalk, explained: bool, write: Write) -> bytes:
    quantised = write(graph, walk.scales, walk.layers)
    if explained and not add_class_activation(quantised):
        raise PassError("the quantised graph lost what its class-activation map is made of")
    if write is write_symmetric:
        look_up_numbers(quantised)
    try:
        onnx.checker.check_model(quantised, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise PassError(f"the graph that came out is not valid ONNX, please report this: {error}") from error
    data: bytes = quantised.SerializeToString(deterministic=True)
    return data


def _walked(graph: FloatGraph, pictures: Pictures, config: QuantizeInt8, float_steps: set[str]) -> IntegerWalk:
    walk = IntegerWalk(
        graph, config.range_method, config.percentile, pair_safe=config.pair_safe, float_steps=float_steps
    )
    walk.run(pictures)
    return walk


def _float_steps(graph: FloatGraph, names: list[str]) -> set[str]:
    """Outputs of the layers that go by these names."""
    layers = {name: step.output for step in graph.steps if step.op in WEIGHTED for name in _names(step)}
    for name in names:
        if name not in layers:
            near = difflib.get_close_matches(name, list(layers), n=1)
            hint = f"did you mean {near[0]!r}?" if near else "a layer is a Conv or Gemm, by its node or its output"
            raise PassError(f"float_layers: no layer is named {name!r}; {hint}")
    return {layers[name] for name in names}


def _names(step: Step) -> set[str]:
    return {str(step.node.name), str(step.node.output[0]), step.output}


PASS: Pass[QuantizeInt8] = Pass(QuantizeInt8, quantize_int8)
