"""Writes an 8-bit model as ONNX: plain operators between QuantizeLinear and DequantizeLinear.

The form every engine reads. Each operator stands between a dequantise and a
quantise; an engine with integer kernels melts the three into one, an engine
without computes in float and still rounds where it should. The pixels are
dequantised as they come; outputs of the model stay float32.

Clamps after a layer are not written: a zero point of 0 cuts off below 0, the last code
above. A tensor that stays in float has no codes, and its clamp is written. Nor is a product by a
constant written: the same codes are dequantised by another scale.
"""

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from optimize.passes.coded import Scale
from optimize.passes.float64_operators import SAME_CODES, WEIGHTED
from optimize.passes.float_graph import FloatGraph, Step
from optimize.passes.layer_rounding import Layer
from optimize.passes.pixel_input import PixelInput


def write_qdq(graph: FloatGraph, scales: dict[str, Scale], layers: dict[str, Layer]) -> onnx.ModelProto:
    """Write what a walk has settled.

    Args:
        graph: the float model; input, outputs and ``metadata_props`` are taken over.
        scales: by tensor; one without stays in float.
        layers: by the output of their step; one without stays in float.
    Returns:
        The model, the same for the same arguments.
    """
    return written(QdqWriter(graph, scales), graph, layers, f"{graph.model.graph.name}_int8")


def written(writer: "QdqWriter", graph: FloatGraph, layers: dict[str, Layer], name: str) -> onnx.ModelProto:
    """The whole of a graph by a writer that knows how; see ``write_qdq``.

    Args:
        name: of the graph.
    """
    writer.pixels(graph.input)
    for step in graph.steps:
        writer.step(step, layers.get(step.output))
    model = onnx.ModelProto()
    model.CopyFrom(graph.model)
    whole = helper.make_graph(
        writer.nodes, name, graph.model.graph.input, graph.model.graph.output, initializer=writer.constants
    )
    model.graph.CopyFrom(whole)
    return model


class QdqWriter:
    """Nodes and constants as they come; ``symmetric_twin`` writes some of them otherwise."""

    def __init__(self, graph: FloatGraph, scales: dict[str, Scale]) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self._floats = graph.constants
        self._scales = scales
        self._codes: dict[str, str] = {}
        self._names: set[str] = set()

    def pixels(self, start: PixelInput) -> None:
        """NHWC → NCHW as bytes, with the added channel where there is one, then as numbers."""
        turned = f"{start.pixels}/nchw"
        self._node("Transpose", [start.pixels], turned, perm=[0, 3, 1, 2])
        if start.inside is not None:
            one_behind = self._constant(f"{start.pixels}/pads", np.array([0, 0, 0, 0, 0, 1, 0, 0], np.int64))
            inside = self._constant(f"{start.pixels}/inside", np.array(start.inside, np.uint8))
            self._node("Pad", [turned, one_behind, inside], f"{start.pixels}/padded")
            turned = f"{start.pixels}/padded"
        self._codes[start.first] = turned
        self._dequantise(turned, self._scale(start.first), self._real(start.first))

    def step(self, step: Step, layer: Layer | None) -> None:
        """One operator with its weights, and the codes of what it gives."""
        quantised = step.output in self._scales
        if step.factor is not None and quantised:
            self._codes[step.output] = self._codes[step.sources[0]]
            self._dequantise(self._codes[step.output], self._scale(step.output), self._real(step.output))
            return
        target = f"{step.output}/float" if quantised else step.output
        guarded = quantised and layer is None and step.op in WEIGHTED and step.sources[0] in self._scales
        clamped = not quantised and step.output != step.node.output[0]
        made = f"{step.output}/uncut" if guarded or clamped else target
        self._operator(step, layer, made)
        if guarded:
            self._keep_float(step.output)
        elif clamped:
            self._clip(step, made, target)
        if quantised:
            source = step.sources[0] if step.op in SAME_CODES else step.output
            parameters = self._scale(source)
            self._codes[step.output] = coded = f"{step.output}/codes"
            self._node("QuantizeLinear", [target, *parameters], coded)
            self._dequantise(coded, parameters, self._real(step.output))

    def _operator(self, step: Step, layer: Layer | None, made: str) -> None:
        inputs = [self._real(name) if name in step.sources else name for name in step.inputs]
        if layer is not None:
            inputs = [inputs[0], *self._weights(step, layer)]
        for name in inputs:
            if name in self._floats:
                self._constant(name, self._float(name) if step.op in WEIGHTED else self._floats[name])
        node = helper.make_node(step.op, inputs, [made], step.node.name)
        node.attribute.extend(step.node.attribute)
        self.nodes.append(node)

    def _clip(self, step: Step, made: str, target: str) -> None:
        bounds = {"low": step.low, "high": step.high}
        names = [self._constant(f"{made}/{name}", np.array(at, np.float32)) for name, at in bounds.items()]
        self._node("Clip", [made, *names], target)

    def _keep_float(self, name: str) -> None:
        """Cut off below the least code, as rounding does too: that a rounding does not follow the layer at once.

        ONNX Runtime gives every float layer between two roundings 8-bit weights of its own, one scale for all outputs
        (its WeightBiasQuantization; a Relu or Clip between does not stop it). One that takes a tensor in float is safe.
        """
        least = self._constant(f"{name}/least", np.array(self._scales[name].low, np.float32))
        self._node("Max", [f"{name}/uncut", least], f"{name}/float")

    def _weights(self, step: Step, layer: Layer) -> list[str]:
        name, bias = layer.name, f"{layer.name}/bias"
        size = np.float32(self._scales[step.sources[0]].size)
        scale = self._constant(f"{name}/scale", layer.scales)
        zeros = self._constant(f"{name}/zero", np.zeros(len(layer.scales), np.int8))
        codes = self._constant(f"{name}/codes", layer.codes)
        self._dequantise(codes, [scale, zeros], f"{name}/real", axis=0)
        bias_scale = self._constant(f"{bias}/scale", layer.scales * size)
        bias_zeros = self._constant(f"{bias}/zero", np.zeros(len(layer.scales), np.int32))
        bias_codes = self._constant(f"{bias}/codes", layer.bias)
        self._dequantise(bias_codes, [bias_scale, bias_zeros], f"{bias}/real", axis=0)
        return [f"{name}/real", f"{bias}/real"]

    def _float(self, name: str) -> NDArray[np.generic]:
        return self._floats[name].astype(np.float32)

    def _scale(self, tensor: str) -> list[str]:
        scale, name = self._scales[tensor], f"{tensor}/scale"
        self._constant(name, np.array(scale.size, np.float32))
        self._constant(f"{tensor}/zero", np.array(scale.zero, np.uint8))
        return [name, f"{tensor}/zero"]

    def _real(self, name: str) -> str:
        """The float form of a tensor."""
        return f"{name}/real" if name in self._scales else name

    def _dequantise(self, codes: str, parameters: list[str], target: str, **attributes: int) -> None:
        self._node("DequantizeLinear", [codes, *parameters], target, **attributes)

    def _node(self, op: str, inputs: list[str], output: str, **attributes: int | list[int]) -> None:
        node = helper.make_node(op, inputs, [output], name=f"{output}/{op}")
        node.attribute.extend(helper.make_attribute(key, value) for key, value in attributes.items())
        self.nodes.append(node)

    def _constant(self, name: str, value: NDArray[np.generic]) -> str:
        if name not in self._names:
            self._names.add(name)
            self.constants.append(numpy_helper.from_array(value, name))
        return name
