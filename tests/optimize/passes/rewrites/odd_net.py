"""A small net whose inner widths are no multiples of eight, as ONNX."""

import numpy as np
from numpy.typing import NDArray
from onnx import helper

from tests.optimize.small_nets import make_model

WIDTH = 18


def odd_net(width: int = WIDTH) -> bytes:
    """Two inverted residuals of ``width`` channels on a trunk of 8, and 22 features; 10 classes."""
    draw = np.random.default_rng(3)
    constants: dict[str, NDArray[np.generic]] = {"low": np.array(0, np.float32), "high": np.array(6, np.float32)}
    nodes = []

    def conv(name: str, source: str, shape: tuple[int, ...], **attributes: int | list[int]) -> str:
        constants[f"{name}.weight"] = (draw.standard_normal(shape) * (2 / np.prod(shape[1:])) ** 0.5).astype(np.float32)
        constants[f"{name}.bias"] = (0.1 * draw.standard_normal(shape[0])).astype(np.float32)
        node = helper.make_node("Conv", [source, f"{name}.weight", f"{name}.bias"], [f"{name}:0"], name=name)
        attributes.setdefault("kernel_shape", list(shape[2:]))
        node.attribute.extend(helper.make_attribute(key, value) for key, value in attributes.items())
        nodes.append(node)
        return f"{name}:0"

    def clamped(source: str) -> str:
        nodes.append(helper.make_node("Clip", [source, "low", "high"], [f"{source}/cut"], name=f"{source}/clip"))
        return f"{source}/cut"

    trunk = clamped(conv("stem", "x", (8, 3, 3, 3), pads=[1, 1, 1, 1], strides=[2, 2]))
    for block in ("a", "b"):
        wide = clamped(conv(f"{block}.wide", trunk, (width, 8, 1, 1)))
        deep = clamped(conv(f"{block}.deep", wide, (width, 1, 3, 3), pads=[1, 1, 1, 1], group=width))
        thin = conv(f"{block}.thin", deep, (8, width, 1, 1))
        nodes.append(helper.make_node("Add", [trunk, thin], [f"{block}.sum"], name=f"{block}.add"))
        trunk = f"{block}.sum"
    features = clamped(conv("features", trunk, (22, 8, 1, 1)))
    nodes += [
        helper.make_node("GlobalAveragePool", [features], ["pooled"], name="pool"),
        helper.make_node("Flatten", ["pooled"], ["flat"], name="flatten"),
    ]
    constants["head.weight"] = draw.standard_normal((10, 22)).astype(np.float32)
    constants["head.bias"] = draw.standard_normal(10).astype(np.float32)
    return make_model(nodes, constants, "flat")
