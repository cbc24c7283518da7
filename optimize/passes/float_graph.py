"""A float ONNX model, read as steps that a quantiser can walk.

Two things are taken apart from the rest. What stands between the pixels and the
first layer (layout, cast, normalisation) becomes one scale and one zero point,
``value = (pixel - zero) * scale``: with them the pixels *are* the first layer's
8-bit input, and normalising costs nothing. And a clamp (``Relu``, ``Clip``) is
joined to the operator before it: 8-bit codes clamp by themselves.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from optimize.errors import PassError

NORMALISING = frozenset({"Transpose", "Cast", "Sub", "Add", "Mul", "Div"})
_CLAMPS = frozenset({"Relu", "Clip"})
_NHWC_TO_NCHW = [0, 3, 1, 2]

Constants = dict[str, NDArray[np.generic]]


@dataclass(frozen=True, slots=True)
class Step:
    """One operator and the clamp after it; ``output`` is the tensor after the clamp."""

    node: onnx.NodeProto
    output: str
    low: float = -inf
    high: float = inf

    @property
    def op(self) -> str:
        """The ONNX operator."""
        return str(self.node.op_type)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of tensors and constants."""
        return tuple(self.node.input)

    @property
    def attributes(self) -> dict[str, object]:
        """By name."""
        return {one.name: onnx.helper.get_attribute_value(one) for one in self.node.attribute}


@dataclass(frozen=True, slots=True)
class FloatGraph:
    """``steps`` in order; ``pixels`` (uint8 NHWC) becomes ``first`` (float NCHW) by ``(pixel - zero) * scale``."""

    model: onnx.ModelProto
    pixels: str
    first: str
    scale: float
    zero: int
    steps: tuple[Step, ...]
    constants: Constants
    outputs: tuple[str, ...]


def read_float_graph(data: bytes) -> FloatGraph:
    """Take a float model apart.

    Args:
        data: ONNX; one uint8 NHWC input; batch norms already folded.
    Raises:
        PassError: another input, or a normalisation that one scale and one zero point can't hold.
    """
    model = onnx.load_from_string(data)
    graph = model.graph
    if len(graph.input) != 1 or graph.input[0].type.tensor_type.elem_type != onnx.TensorProto.UINT8:
        raise PassError("the model must take one uint8 tensor of pixels; 'quickeye models import' wraps others so")
    constants: Constants = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    pixels = str(graph.input[0].name)
    first, factor, offset, rest = _normalisation(list(graph.node), constants, pixels)
    scale, zero = _as_scale_and_zero(factor, offset)
    outputs = tuple(str(one.name) for one in graph.output)
    steps = tuple(_steps(rest, constants, outputs))
    return FloatGraph(model, pixels, first, scale, zero, steps, constants, outputs)


def _normalisation(
    nodes: list[onnx.NodeProto], constants: Constants, pixels: str
) -> tuple[str, NDArray[np.float64], NDArray[np.float64], list[onnx.NodeProto]]:
    """Follow the pixels to the first real operator: value = pixel * factor + offset."""
    name, factor, offset, turned = pixels, np.ones(1), np.zeros(1), False
    rest = list(nodes)
    while rest and rest[0].op_type in NORMALISING and name in rest[0].input:
        node = rest.pop(0)
        if node.op_type == "Transpose":
            turned = next(iter(onnx.helper.get_attribute_value(one) for one in node.attribute)) == _NHWC_TO_NCHW
        elif node.op_type != "Cast":
            value = _constant(node, name, constants)
            factor, offset = _affine(node, value, factor, offset, name)
        name = str(node.output[0])
    if not turned:
        raise PassError("the pixels must be turned from NHWC to NCHW before the first layer")
    return name, factor, offset, rest


def _constant(node: onnx.NodeProto, name: str, constants: Constants) -> NDArray[np.float64]:
    other = next((one for one in node.input if one != name), "")
    if other not in constants:
        raise PassError(f"node '{node.name}' normalises by something that is not a constant")
    return constants[other].astype(np.float64).ravel()


def _affine(
    node: onnx.NodeProto,
    value: NDArray[np.float64],
    factor: NDArray[np.float64],
    offset: NDArray[np.float64],
    name: str,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if node.op_type in ("Sub", "Div") and node.input[0] != name:
        raise PassError(f"node '{node.name}' has the pixels as its second operand")
    if node.op_type == "Mul":
        return factor * value, offset * value
    if node.op_type == "Div":
        return factor / value, offset / value
    return factor, offset + (value if node.op_type == "Add" else -value)


def _as_scale_and_zero(factor: NDArray[np.float64], offset: NDArray[np.float64]) -> tuple[float, int]:
    zero = -offset / factor
    whole = round(float(zero[0]))
    if np.ptp(factor) or np.abs(zero - whole).max() > 1e-5 or not 0 <= whole <= 255:
        raise PassError(
            "this pass needs one std and one whole mean (0 to 255) for all channels, so that the pixels can feed the "
            f"first layer as they are; the model has means {zero.tolist()} and stds {(1 / factor).tolist()}"
        )
    return float(factor[0]), whole


def _steps(nodes: list[onnx.NodeProto], constants: Constants, outputs: tuple[str, ...]) -> Iterator[Step]:
    users: dict[str, list[onnx.NodeProto]] = {}
    for node in nodes:
        for name in node.input:
            users.setdefault(name, []).append(node)
    joined: set[str] = set()
    for node in nodes:
        if len(node.output) != 1:
            raise PassError(f"node '{node.name}' ({node.op_type}) has {len(node.output)} outputs; this pass knows one")
        if node.output[0] in joined:
            continue
        after = users.get(node.output[0], [])
        if len(after) == 1 and after[0].op_type in _CLAMPS and node.output[0] not in outputs:
            joined.add(after[0].output[0])
            yield Step(node, str(after[0].output[0]), *_bounds(after[0], constants))
        elif node.op_type in _CLAMPS:
            raise PassError(f"node '{node.name}' ({node.op_type}) clamps a tensor that others also use")
        else:
            yield Step(node, str(node.output[0]))


def _bounds(node: onnx.NodeProto, constants: Constants) -> tuple[float, float]:
    if node.op_type == "Relu":
        return 0.0, inf
    names = [*node.input[1:], "", ""][:2]
    low, high = (
        float(constants[name]) if name in constants else default
        for name, default in zip(names, (-inf, inf), strict=True)
    )
    return low, high
