"""How much each layer lost to 8 bits, in decibels: which layers to leave in float (``float_layers``).

One run of both models on the same pictures. A layer's figure is the ratio of what the float model says
there to how far the 8-bit one is from it, all errors of the layers before included: where the
figure *falls* most from one layer to the next, 8 bits hurt. 20 dB is an error of a tenth, 40 dB of a hundredth.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from optimize.errors import PassError
from optimize.passes.float64_operators import WEIGHTED
from optimize.passes.layer_weights import read_model
from optimize.passes.pictures import Pictures

_BATCH = 8


def sqnr(model_float: bytes, model_int8: bytes, pictures: Pictures) -> list[tuple[str, float]]:
    """Signal-to-quantisation-noise ratio after each layer, in the order of the graph.

    Args:
        model_float: what ``quantize_int8`` was given.
        model_int8: what it made of it; both run in float32 with the rounding that the graph asks for.
        pictures: uint8 (N, height, width, channels).
    Returns:
        (name of the layer's node, dB); infinite where nothing was lost.
    Raises:
        PassError: no pictures, no ONNX models, or models that have no layers in common.
    """
    if not len(pictures):
        raise PassError("sqnr needs a picture or more to compare the two models on")
    exact, rounded = read_model(model_float), read_model(model_int8)
    layers = _layers(exact, rounded)
    if not layers:
        raise PassError("the two models have no layers in common; give a model and what quantize_int8 made of it")
    ours = _opened(exact, [name for _, name, _ in layers])
    theirs = _opened(rounded, [name for _, _, name in layers])
    signal, noise = np.zeros(len(layers)), np.zeros(len(layers))
    for start in range(0, len(pictures), _BATCH):
        images = pictures[start : start + _BATCH]
        for place, (wanted, got) in enumerate(zip(ours(images), theirs(images), strict=True)):
            signal[place] += np.square(wanted, dtype=np.float64).sum()
            noise[place] += np.square(wanted - got, dtype=np.float64).sum()
    return [(name, _decibels(*powers)) for (name, _, _), *powers in zip(layers, signal, noise, strict=True)]


def _layers(exact: onnx.ModelProto, rounded: onnx.ModelProto) -> list[tuple[str, str, str]]:
    """(layer, its output in the float model, the same in the 8-bit one, after rounding)."""
    known = {name for node in exact.graph.node for name in node.output}
    made = {name for node in rounded.graph.node for name in node.output}
    found = []
    for node in rounded.graph.node:
        name = str(node.output[0]).removesuffix("/float").removesuffix("/uncut")
        if node.op_type in WEIGHTED and name in known:
            found.append((str(node.name), name, f"{name}/real" if f"{name}/real" in made else name))
    return found


def _opened(model: onnx.ModelProto, outputs: list[str]) -> Callable[[NDArray[np.uint8]], list[NDArray[np.float32]]]:
    """What gives these tensors, computed one operator at a time."""
    import onnxruntime

    del model.graph.output[:]
    model.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session: Any = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda images: session.run(None, {name: images})


def _decibels(signal: float, noise: float) -> float:
    if not noise:
        return math.inf
    return 10 * math.log10(signal / noise) if signal else -math.inf
