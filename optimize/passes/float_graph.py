"""A float ONNX model, read as steps that a quantiser can walk.

Two things are taken apart from the rest. What stands between the pixels and the
first layer becomes one scale and one zero point (``pixel_input``). And a clamp (``Relu``,
``Clip``) is joined to the operator before it: 8-bit codes clamp by themselves. One that clamps
a tensor which others also use, or one that only moves codes, is a step of its own.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import inf

import numpy as np
import onnx
from onnx import numpy_helper

from optimize.errors import PassError
from optimize.passes.float32 import widen
from optimize.passes.float64_operators import SAME_CODES
from optimize.passes.layer_weights import drop_listed_constants, read_model
from optimize.passes.pixel_input import Constants, PixelInput, read_pixel_input
from optimize.passes.plain_form import attributes_of, layer_name, plain_form

CLAMPS = frozenset({"Relu", "Clip"})

# Operators whose further inputs are constants that say how; by their names in ONNX.
_OPERANDS = {"Reshape": ("shape",), "Slice": ("starts", "ends", "axes", "steps")}
_BOUNDS = {"Sigmoid": (0.0, 1.0), "HardSigmoid": (0.0, 1.0)}


@dataclass(frozen=True, slots=True)
class Step:
    """One operator and the clamp after it; ``output`` is the tensor after the clamp.

    ``sources`` are its inputs but for the constants; ``attributes`` hold those constants that say how, too.
    ``factor``: it multiplies by this constant, and does nothing else.
    """

    node: onnx.NodeProto
    output: str
    sources: tuple[str, ...]
    low: float = -inf
    high: float = inf
    attributes: dict[str, object] = field(default_factory=dict)
    factor: float | None = None

    @property
    def op(self) -> str:
        """The ONNX operator."""
        return str(self.node.op_type)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of tensors and constants."""
        return tuple(self.node.input)


@dataclass(frozen=True, slots=True)
class FloatGraph:
    """``steps`` in order, from the pixels on."""

    model: onnx.ModelProto
    input: PixelInput
    steps: tuple[Step, ...]
    constants: Constants
    outputs: tuple[str, ...]


OLDEST_OPSET = 13


def read_float_graph(data: bytes) -> FloatGraph:
    """Take a float model apart.

    Args:
        data: ONNX; one uint8 NHWC input; float16 is read as float32.
    Raises:
        PassError: no ONNX model, another input, or a normalisation that neither the pixels' codes nor the first layer
            can hold.
    """
    model = read_model(data)
    drop_listed_constants(model)
    graph = model.graph
    if len(graph.input) != 1 or graph.input[0].type.tensor_type.elem_type != onnx.TensorProto.UINT8:
        raise PassError("the model must take one uint8 tensor of pixels; 'quickeye models import' wraps others so")
    opset = next((one.version for one in model.opset_import if not one.domain), 0)
    if opset < OLDEST_OPSET:
        raise PassError(
            f"the model is of opset {opset}; 8-bit tensors with a scale for each channel need {OLDEST_OPSET} or later: "
            "onnx.version_converter.convert_version does it"
        )
    widen(model)
    plain_form(model)
    constants: Constants = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    pixels, rest = read_pixel_input(list(graph.node), constants, str(graph.input[0].name))
    outputs = tuple(str(one.name) for one in graph.output)
    return FloatGraph(model, pixels, tuple(_steps(rest, constants, outputs)), constants, outputs)


def _steps(nodes: list[onnx.NodeProto], constants: Constants, outputs: tuple[str, ...]) -> Iterator[Step]:
    uses = Counter(name for node in nodes for name in node.input)
    clamps = {node.input[0]: node for node in nodes if node.op_type in CLAMPS}
    joined: set[str] = set()
    for node in nodes:
        if len(node.output) != 1:
            raise PassError(
                f"node '{layer_name(node)}' ({node.op_type}) has {len(node.output)} outputs; this pass knows one"
            )
        name = str(node.output[0])
        if name in joined:
            continue
        moves = node.op_type in SAME_CODES or _factor(node, constants) is not None
        joins = name in clamps and _is_in_the_codes(clamps[name], constants, outputs)
        if joins and uses[name] == 1 and name not in outputs and not moves and node.op_type not in CLAMPS:
            joined.add(str(clamps[name].output[0]))
            yield _step(node, clamps[name], constants)
        else:
            yield _step(node, None, constants)


def _is_in_the_codes(clamp: onnx.NodeProto, constants: Constants, outputs: tuple[str, ...]) -> bool:
    """Whether codes clamp by themselves there: their range holds 0 always, and an output of the model has none."""
    low, high = _bounds(clamp, constants)
    return low <= 0 <= high and str(clamp.output[0]) not in outputs


def _step(node: onnx.NodeProto, clamp: onnx.NodeProto | None, constants: Constants) -> Step:
    low, high = _BOUNDS.get(node.op_type, (-inf, inf))
    for one in (node, clamp):
        if one is not None and one.op_type in CLAMPS:
            least, most = _bounds(one, constants)
            low, high = max(low, least), min(high, most)
    attributes = dict(attributes_of(node))
    for name, operand in zip(node.input[1:], _OPERANDS.get(node.op_type, ()), strict=False):
        if name and name not in constants:
            raise PassError(f"node '{layer_name(node)}' ({node.op_type}): this pass takes constant {operand} only")
        if name:
            attributes[operand] = constants[name].tolist()
    output = str((node if clamp is None else clamp).output[0])
    sources = tuple(str(name) for name in node.input if name and name not in constants)
    return Step(node, output, sources, low, high, attributes, _factor(node, constants))


def _factor(node: onnx.NodeProto, constants: Constants) -> float | None:
    """What a product by one positive number multiplies by."""
    if node.op_type not in ("Mul", "Div"):
        return None
    places = (1,) if node.op_type == "Div" else (0, 1)
    known = [constants[node.input[place]] for place in places if node.input[place] in constants]
    if len(known) != 1 or known[0].size != 1 or not (np.isfinite(known[0]).all() and known[0].item() > 0):
        return None
    number = float(known[0].item())
    return 1 / number if node.op_type == "Div" else number


def _bounds(node: onnx.NodeProto, constants: Constants) -> tuple[float, float]:
    if node.op_type == "Relu":
        return 0.0, inf
    names = [*node.input[1:], "", ""][:2]
    low, high = (
        float(constants[name]) if name in constants else default
        for name, default in zip(names, (-inf, inf), strict=True)
    )
    return low, high
