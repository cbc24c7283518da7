"""Writes an 8-bit model as ONNX: plain operators between QuantizeLinear and DequantizeLinear.

The form every engine reads. Each operator stands between a dequantise and a
quantise; an engine with integer kernels melts the three into one, an engine
without computes in float and still rounds where it should. The pixels are
dequantised as they come; outputs of the model stay float32.

Clamps are not written: a zero point of 0 cuts off below 0, the last code above.
"""

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from optimize.passes.float64_operators import SAME_CODES, WEIGHTED
from optimize.passes.float_graph import FloatGraph, Step
from optimize.passes.integer_walk import Layer, Scale


def write_qdq(graph: FloatGraph, scales: dict[str, Scale], layers: dict[str, Layer]) -> onnx.ModelProto:
    """Write what a walk has settled.

    Args:
        graph: the float model; input, outputs and ``metadata_props`` are taken over.
        scales: by tensor.
        layers: by the output of their step.
    Returns:
        The model, the same for the same arguments.
    """
    writer = _Writer(scales)
    writer.pixels(graph)
    for step in graph.steps:
        writer.step(step, layers.get(step.output), quantised=step.output not in graph.outputs)
    model = onnx.ModelProto()
    model.CopyFrom(graph.model)
    name = f"{graph.model.graph.name}_int8"
    whole = helper.make_graph(
        writer.nodes, name, graph.model.graph.input, graph.model.graph.output, initializer=writer.constants
    )
    model.graph.CopyFrom(whole)
    return model


class _Writer:
    def __init__(self, scales: dict[str, Scale]) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self._scales = scales

    def pixels(self, graph: FloatGraph) -> None:
        """NHWC → NCHW as bytes, then as numbers."""
        turned = f"{graph.pixels}/nchw"
        self._node("Transpose", [graph.pixels], turned, perm=[0, 3, 1, 2])
        self._dequantise(turned, self._scale(graph.first), _real(graph.first))

    def step(self, step: Step, layer: Layer | None, *, quantised: bool) -> None:
        """One operator with its weights, and the codes of what it gives."""
        inputs = [_real(step.inputs[0])] if step.op in WEIGHTED else [_real(name) for name in step.inputs]
        if layer is not None:
            inputs += self._weights(step, layer)
        target = f"{step.output}/float" if quantised else step.output
        node = helper.make_node(step.op, inputs, [target], name=step.node.name)
        node.attribute.extend(step.node.attribute)
        self.nodes.append(node)
        if quantised:
            source = step.inputs[0] if step.op in SAME_CODES else step.output
            parameters = self._scale(source)
            coded = f"{step.output}/codes"
            self._node("QuantizeLinear", [target, *parameters], coded)
            self._dequantise(coded, parameters, _real(step.output))

    def _weights(self, step: Step, layer: Layer) -> list[str]:
        name = step.inputs[1]
        size = np.float32(self._scales[step.inputs[0]].size)
        scale = self._constant(f"{name}/scale", layer.scales)
        zeros = self._constant(f"{name}/zero", np.zeros(len(layer.scales), np.int8))
        codes = self._constant(f"{name}/codes", layer.codes)
        self._dequantise(codes, [scale, zeros], _real(name), axis=0)
        bias = f"{name}/bias"
        bias_scale = self._constant(f"{bias}/scale", layer.scales * size)
        bias_zeros = self._constant(f"{bias}/zero", np.zeros(len(layer.scales), np.int32))
        bias_codes = self._constant(f"{bias}/codes", layer.bias)
        self._dequantise(bias_codes, [bias_scale, bias_zeros], _real(bias), axis=0)
        return [_real(name), _real(bias)]

    def _scale(self, tensor: str) -> list[str]:
        scale, name = self._scales[tensor], f"{tensor}/scale"
        if not any(one.name == name for one in self.constants):
            self._constant(name, np.array(scale.size, np.float32))
            self._constant(f"{tensor}/zero", np.array(scale.zero, np.uint8))
        return [name, f"{tensor}/zero"]

    def _dequantise(self, codes: str, parameters: list[str], target: str, **attributes: int) -> None:
        self._node("DequantizeLinear", [codes, *parameters], target, **attributes)

    def _node(self, op: str, inputs: list[str], output: str, **attributes: int | list[int]) -> None:
        node = helper.make_node(op, inputs, [output], name=f"{output}/{op}")
        node.attribute.extend(helper.make_attribute(key, value) for key, value in attributes.items())
        self.nodes.append(node)

    def _constant(self, name: str, value: NDArray[np.generic]) -> str:
        self.constants.append(numpy_helper.from_array(value, name))
        return name


def _real(name: str) -> str:
    """The float form of a tensor that is kept in codes."""
    return f"{name}/real"
