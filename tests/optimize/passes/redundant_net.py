"""A small net that every pass finds something to do in: its 1×1 convolution is nearly of rank four."""

import numpy as np
from numpy.typing import NDArray
from onnx import helper

from tests.optimize.small_nets import make_model


def redundant_net(seed: int = 0) -> bytes:
    """Stem, depthwise, 1×1 of 32 to 48 channels, pooling, a head of 10 classes; input, output as ``make_model``."""
    draw = np.random.default_rng(seed)

    def weight(*shape: int) -> NDArray[np.float32]:
        fan_in = int(np.prod(shape[1:]))
        return (draw.standard_normal(shape) * (2 / fan_in) ** 0.5).astype(np.float32)

    point = weight(48, 4) @ weight(4, 32) + 0.001 * weight(48, 32)
    constants: dict[str, NDArray[np.generic]] = {
        "low": np.array(0, np.float32),
        "high": np.array(6, np.float32),
        "stem.weight": weight(32, 3, 3, 3),
        "stem.bias": weight(32, 32)[0],
        "deep.weight": weight(32, 1, 3, 3),
        "deep.bias": weight(32, 32)[0],
        "point.weight": point[:, :, None, None],
        "point.bias": weight(48, 48)[0],
        "head.weight": weight(10, 48),
        "head.bias": weight(10, 10)[0],
    }
    wide = {"pads": [1, 1, 1, 1], "kernel_shape": [3, 3]}
    nodes = [
        helper.make_node("Conv", ["x", "stem.weight", "stem.bias"], ["stem"], "stem", strides=[2, 2], **wide),
        helper.make_node("Clip", ["stem", "low", "high"], ["a"], "clip_stem"),
        helper.make_node("Conv", ["a", "deep.weight", "deep.bias"], ["deep"], "deep", group=32, **wide),
        helper.make_node("Relu", ["deep"], ["b"], "relu_deep"),
        helper.make_node("Conv", ["b", "point.weight", "point.bias"], ["point"], "point", kernel_shape=[1, 1]),
        helper.make_node("Relu", ["point"], ["c"], "relu_point"),
        helper.make_node("GlobalAveragePool", ["c"], ["pooled"], "pool"),
        helper.make_node("Flatten", ["pooled"], ["flat"], "flatten"),
    ]
    return make_model(nodes, constants, "flat")
