"""The 8-bit model once more, as TensorRT takes it: signed codes around zero, from the same calibration.

Two forms, as the engines want opposite things. CPUs multiply unsigned by signed bytes, so a tensor that is never
negative has all 256 codes and a zero point. TensorRT knows no zero point but 0. So the twin has the weights' codes
as they are, and of each tensor's range the wider side: ``scale = max(-low, high) / 127``. What is never negative
has 127 steps there instead of 255: its rounding errs twice as much.

What TensorRT's parser and builder (10 and later) ask for, and what is written for it:

- Codes are int8 and zero points 0, one scale for an activation, one per output (axis 0) for weights. The weights are
  codes in the file, behind one DequantizeLinear.
- A bias is float: a DequantizeLinear of int32 is refused.
- Scales are constants, so a class-activation map looks up a row of numbers; elsewhere it looks up codes and a scale.
- uint8 is for the network's inputs and outputs alone: the pixels are cast to float first of all.
- Signed codes do not clamp at 0: every Relu and Clip is written, and is part of the layer's kernel.
- A layer is computed with what follows it where no rounding stands between. So a rounding is written where 8 bits
  are read for: before layers, averages and what moves codes. Of a sum, one layer's output stays in float, the
  others are rounded. Curves, products and concatenations read what is there; TensorRT moves the rounding
  behind a concatenation or a maximum to before it.
- For a first layer of three channels there may be no 8-bit kernel, and then no engine is built at all: layers that
  see the pixels stay in float. That also spares the pixels, which are no symmetric range.

What it costs: a second file of the same size. What it does not do: it has the biases that were mended for the unsigned
form, and it was never run in TensorRT here. Its answers are those of ONNX Runtime's CPU.
Source: TensorRT's guide to explicit quantisation, its ONNX parser and the list of its operators.
"""

from collections.abc import Collection

import numpy as np
import onnx
from onnx import TensorProto, helper

from model_zoo.spec import CLASS_ACTIVATION
from optimize.passes.coded import Scale
from optimize.passes.float64_operators import SAME_CODES, WEIGHTED
from optimize.passes.float_graph import FloatGraph, Step
from optimize.passes.layer_rounding import Layer
from optimize.passes.pixel_input import PixelInput
from optimize.passes.qdq import QdqWriter, written

LARGEST = 127
# They read codes and give codes; what else is not a layer reads numbers as they come.
_READ_CODES = SAME_CODES | {"AveragePool", "GlobalAveragePool"}


def write_symmetric(graph: FloatGraph, scales: dict[str, Scale], layers: dict[str, Layer]) -> onnx.ModelProto:
    """Write what a walk has settled, without zero points.

    Args:
        graph: the float model; input, outputs and ``metadata_props`` are taken over.
        scales: by tensor, of unsigned codes; one without stays in float.
        layers: by the output of their step; one without stays in float.
    Returns:
        The model, the same for the same arguments.
    """
    seeing = _of_pixels(graph)
    kept = {
        step.output: layers[step.output]
        for step in graph.steps
        if step.output in layers and step.sources[0] not in seeing
    }
    coded = _in_codes(graph.steps, kept) & scales.keys() - seeing
    return written(_TwinWriter(graph, scales, coded), graph, kept, f"{graph.model.graph.name}_s8")


def look_up_numbers(model: onnx.ModelProto) -> None:
    """Let a class-activation map find its row in dequantised weights; in place, nothing where there are no codes.

    Args:
        model: with the map that ``add_class_activation`` wrote.
    """
    parts = {f"{CLASS_ACTIVATION}/{name}" for name in ("codes", "scale", "zero", "weights")}
    nodes = list(model.graph.node)
    found = next((node for node in nodes if node.output[0] == f"{CLASS_ACTIVATION}/codes"), None)
    if found is None:
        return
    whole = next(node for node in nodes if node.op_type == "DequantizeLinear" and node.input[0] == found.input[0])
    table = f"{CLASS_ACTIVATION}/table"
    dequantised = helper.make_node("DequantizeLinear", whole.input, [table], table)
    dequantised.attribute.extend(whole.attribute)
    row = helper.make_node("Gather", [table, found.input[1]], [f"{CLASS_ACTIVATION}/weights"], f"{table}/row")
    row.attribute.extend(found.attribute)
    place = nodes.index(found)
    left = [node for node in nodes[place:] if node.output[0] not in parts]
    del model.graph.node[:]
    model.graph.node.extend([*nodes[:place], dequantised, row, *left])


def _of_pixels(graph: FloatGraph) -> set[str]:
    """The pixels, and parts and mirror images of them."""
    found = {graph.input.first}
    for step in graph.steps:
        if step.op in SAME_CODES and step.sources[0] in found:
            found.add(step.output)
    return found


def _in_codes(steps: Collection[Step], layers: Collection[str]) -> set[str]:
    """Tensors that someone reads in 8 bits."""
    found = {name for step in steps if step.output in layers or step.op in _READ_CODES for name in step.sources}
    made = {step.output for step in steps if step.op in WEIGHTED}
    for step in steps:
        if step.op == "Add":
            spare = next((name for name in step.sources if name in made and name not in found), None)
            found.update(name for name in step.sources if name != spare)
    return found


class _TwinWriter(QdqWriter):
    def __init__(self, graph: FloatGraph, scales: dict[str, Scale], coded: Collection[str]) -> None:
        super().__init__(graph, {name: scale for name, scale in scales.items() if name in coded})
        self._unsigned = scales

    def pixels(self, start: PixelInput) -> None:
        """NHWC → NCHW as numbers, normalised, with the added channel where there is one."""
        name = f"{start.pixels}/float"
        self._node("Cast", [start.pixels], name, to=TensorProto.FLOAT)
        steps: list[tuple[str, list[str]]] = [("Transpose", [])]
        if start.zero:
            steps.append(("Sub", [self._constant(f"{start.first}/zero", np.array(start.zero, np.float32))]))
        if start.scale != 1:
            steps.append(("Mul", [self._constant(f"{start.first}/scale", np.array(start.scale, np.float32))]))
        if start.inside is not None:
            one_behind = self._constant(f"{start.pixels}/pads", np.array([0, 0, 0, 0, 0, 1, 0, 0], np.int64))
            inside = np.array((start.inside - start.zero) * start.scale, np.float32)
            steps.append(("Pad", [one_behind, self._constant(f"{start.pixels}/inside", inside)]))
        for place, (op, more) in enumerate(steps):
            made = start.first if place == len(steps) - 1 else f"{start.pixels}/{op.lower()}"
            attributes: dict[str, int | list[int]] = {"perm": [0, 3, 1, 2]} if op == "Transpose" else {}
            self._node(op, [name, *more], made, **attributes)
            name = made

    def step(self, step: Step, layer: Layer | None) -> None:
        """One operator, its clamp, and the rounding of what it gives."""
        coded = step.output in self._scales
        target = f"{step.output}/float" if coded else step.output
        clamped = step.output != step.node.output[0]
        made = f"{step.output}/uncut" if clamped else target
        self._operator(step, layer, made)
        if clamped and step.low == 0 and np.isposinf(step.high):
            self._node("Relu", [made], target)
        elif clamped:
            self._clip(step, made, target)
        if coded:
            parameters = self._scale(step.output)
            self._node("QuantizeLinear", [target, *parameters], f"{step.output}/codes")
            self._dequantise(f"{step.output}/codes", parameters, self._real(step.output))

    def _weights(self, step: Step, layer: Layer) -> list[str]:
        name, bias = layer.name, f"{layer.name}/bias"
        scale = self._constant(f"{name}/scale", layer.scales)
        zeros = self._constant(f"{name}/zero", np.zeros(len(layer.scales), np.int8))
        self._dequantise(self._constant(f"{name}/codes", layer.codes), [scale, zeros], f"{name}/real", axis=0)
        unit = layer.scales.astype(np.float64) * self._unsigned[step.sources[0]].size
        return [f"{name}/real", self._constant(bias, (layer.bias * unit).astype(np.float32))]

    def _scale(self, tensor: str) -> list[str]:
        name = f"{tensor}/scale"
        self._constant(name, np.array(symmetric_size(self._scales[tensor]), np.float32))
        self._constant(f"{tensor}/zero", np.array(0, np.int8))
        return [name, f"{tensor}/zero"]


def symmetric_size(scale: Scale) -> float:
    """Of a signed code, so that codes of −127 to 127 reach as far as the unsigned ones on their wider side."""
    return max(-scale.low, scale.high) / LARGEST
