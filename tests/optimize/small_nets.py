"""Small float nets as ONNX, made by hand so that every number is known."""

from collections.abc import Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper


def make_model(nodes: Sequence[onnx.NodeProto], constants: dict[str, NDArray[np.generic]], output: str) -> bytes:
    """uint8 (N, 16, 16, 3) "images" → float "logits"; ``output`` is the tensor that becomes the logits."""
    prefix = [
        helper.make_node("Transpose", ["images"], ["turned"], name="turn", perm=[0, 3, 1, 2]),
        helper.make_node("Cast", ["turned"], ["cast"], name="cast", to=TensorProto.FLOAT),
        helper.make_node("Sub", ["cast", "mean"], ["centred"], name="centre"),
        helper.make_node("Mul", ["centred", "inverse_std"], ["x"], name="scale"),
    ]
    usual: dict[str, NDArray[np.generic]] = {
        "mean": np.full((1, 3, 1, 1), 127, np.float32),
        "inverse_std": np.full((1, 3, 1, 1), 1 / 128, np.float32),
    }
    last = helper.make_node("Gemm", [output, "head.weight", "head.bias"], ["logits"], name="head", transB=1)
    graph = helper.make_graph(
        [*prefix, *nodes, last],
        "small",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["N", 16, 16, 3])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", None])],
        initializer=[numpy_helper.from_array(value, name) for name, value in {**usual, **constants}.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    data: bytes = model.SerializeToString()
    return data


def residual_net(seed: int = 0) -> bytes:
    """Stem, depthwise, 1×1, a residual sum, pooling and a head of 10 classes."""
    draw = np.random.default_rng(seed)

    def weight(*shape: int) -> NDArray[np.float32]:
        fan_in = int(np.prod(shape[1:]))
        return (draw.standard_normal(shape) * (2 / fan_in) ** 0.5).astype(np.float32)

    constants: dict[str, NDArray[np.generic]] = {
        "low": np.array(0, np.float32),
        "high": np.array(6, np.float32),
        "stem.weight": weight(8, 3, 3, 3),
        "stem.bias": weight(8, 8)[0],
        "deep.weight": weight(8, 1, 3, 3),
        "deep.bias": weight(8, 8)[0],
        "point.weight": weight(8, 8, 1, 1),
        "point.bias": weight(8, 8)[0],
        "head.weight": weight(10, 8),
        "head.bias": weight(10, 10)[0],
    }
    nodes = [
        _conv("stem", "x", "stem", pads=[0, 0, 1, 1], strides=[2, 2], kernel_shape=[3, 3]),
        helper.make_node("Clip", ["stem", "low", "high"], ["a"], name="clip_stem"),
        _conv("deep", "a", "deep", pads=[1, 1, 1, 1], strides=[1, 1], kernel_shape=[3, 3], group=8),
        helper.make_node("Relu", ["deep"], ["b"], name="relu_deep"),
        _conv("point", "b", "c", pads=[0, 0, 0, 0], strides=[1, 1], kernel_shape=[1, 1]),
        helper.make_node("Add", ["c", "a"], ["sum"], name="add"),
        helper.make_node("GlobalAveragePool", ["sum"], ["pooled"], name="pool"),
        helper.make_node("Flatten", ["pooled"], ["flat"], name="flatten"),
    ]
    return make_model(nodes, constants, "flat")


def pictures(n: int, seed: int = 0) -> NDArray[np.uint8]:
    """Smooth random pictures, uint8 (n, 16, 16, 3)."""
    draw = np.random.default_rng(seed)
    coarse = draw.integers(0, 256, (n, 4, 4, 3))
    fine = np.kron(coarse, np.ones((1, 4, 4, 1))) + draw.normal(0, 12, (n, 16, 16, 3))
    return np.clip(np.rint(fine), 0, 255).astype(np.uint8)


def _conv(name: str, source: str, target: str, **attributes: int | list[int]) -> onnx.NodeProto:
    node = helper.make_node("Conv", [source, f"{name}.weight", f"{name}.bias"], [target], name=name)
    node.attribute.extend(helper.make_attribute(key, value) for key, value in attributes.items())
    return node
