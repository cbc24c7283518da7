"""The dense layers of a graph, one matrix each: linear layers, products by a constant, 1×1 convolutions.

Whatever its operator, such a layer multiplies rows by ``matrix`` (outputs, inputs) and
perhaps adds ``bias``; it can be written anew as two of the same kind.
"""

from collections import Counter
from dataclasses import dataclass
from typing import cast

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from model_zoo.onnx_safety import nodes
from optimize.passes.plain_form import attributes_of, layer_name

Matrix = NDArray[np.float64]

_KINDS = frozenset({"Conv", "Gemm", "MatMul"})


@dataclass(frozen=True, slots=True)
class DenseLayer:
    """``matrix`` (O, K); ``bias`` (O,), None for a product, which has none."""

    node: onnx.NodeProto
    matrix: Matrix
    bias: Matrix | None

    @property
    def output(self) -> str:
        """The tensor it makes."""
        return str(self.node.output[0])

    def rows(self, values: NDArray[np.generic]) -> Matrix:
        """A value of ``output``, as rows of O numbers."""
        channels_last = np.moveaxis(values, 1, -1) if self.node.op_type == "Conv" else values
        return channels_last.reshape(-1, len(self.matrix)).astype(np.float64)

    def split(
        self, first: Matrix, second: Matrix, bias: Matrix | None
    ) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
        """Two layers in its place, and their constants.

        Args:
            first: (r, K); has the strides, so that no more places are computed than are used.
            second: (O, r).
            bias: (O,), of the second; None where the layer had none.
        """
        name = layer_name(self.node)
        one, two = onnx.NodeProto(), onnx.NodeProto()
        one.CopyFrom(self.node)
        two.CopyFrom(self.node)
        one.name, two.name = f"{name}/first", f"{name}/second"
        del one.input[2:], two.input[2:], two.attribute[:]
        two.attribute.extend(each for each in self.node.attribute if each.name not in ("auto_pad", "strides"))
        one.output[0] = two.input[0] = f"{self.output}/between"
        constants = []
        for node, matrix in ((one, first), (two, second)):
            node.input[1] = f"{node.name}/weight"
            constants.append(numpy_helper.from_array(self._stored(matrix), node.input[1]))
        if bias is not None:
            two.input.append(f"{two.name}/bias")
            constants.append(numpy_helper.from_array(bias.astype(np.float32), two.input[2]))
        return [one, two], constants

    def _stored(self, matrix: Matrix) -> NDArray[np.float32]:
        """A matrix in the form of the layer's own weights."""
        if self.node.op_type == "Conv":
            return matrix.astype(np.float32)[:, :, None, None]
        turned = self.node.op_type == "MatMul" or not attributes_of(self.node).get("transB", 0)
        return np.ascontiguousarray((matrix.T if turned else matrix).astype(np.float32))


def dense_layers(model: onnx.ModelProto) -> list[DenseLayer]:
    """Those with constant weights that no other operator uses, in order."""
    constants = {one.name: one for one in model.graph.initializer if one.data_type == TensorProto.FLOAT}
    uses = Counter(name for node in nodes(model) for name in node.input)
    layers = []
    for node in model.graph.node:
        if node.op_type not in _KINDS or node.domain or any(one not in constants for one in node.input[1:] if one):
            continue
        weights, *given = (numpy_helper.to_array(constants[one]).astype(np.float64) for one in node.input[1:] if one)
        matrix = _matrix(node, weights) if uses[node.input[1]] == 1 else None
        bias = (*given, np.zeros(1))[0].ravel()
        if matrix is not None and len(bias) in (1, len(matrix)):
            whole = None if node.op_type == "MatMul" else np.broadcast_to(bias, len(matrix))
            layers.append(DenseLayer(node, matrix, whole))
    return layers


def _matrix(node: onnx.NodeProto, weights: Matrix) -> Matrix | None:
    given = attributes_of(node)
    if node.op_type == "Conv":
        plain = weights.ndim == 4 and weights.shape[2:] == (1, 1) and given.get("group", 1) == 1
        return weights[:, :, 0, 0] if plain and set(cast("list[int]", given.get("pads", []))) <= {0} else None
    if node.op_type == "MatMul":
        return weights.T if weights.ndim == 2 else None
    if node.op_type != "Gemm" or given.get("transA", 0) or {given.get("alpha", 1.0), given.get("beta", 1.0)} != {1.0}:
        return None
    return weights if given.get("transB", 0) else weights.T
