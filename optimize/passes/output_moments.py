"""How the outputs of a graph's dense layers vary over pictures, read in one run with memory flat in their number."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from model_zoo.errors import ImportRefusedError
from model_zoo.onnx_run import RunOnce, open_graph
from optimize.errors import PassError
from optimize.passes.dense_layers import DenseLayer, Matrix
from optimize.passes.pictures import Pictures, require_pictures

CHUNK = 4


@dataclass(frozen=True, slots=True)
class Moments:
    """``mean`` (O,), zeros for a layer without bias; ``directions`` (O, O), columns by falling ``variances`` (O,)."""

    mean: Matrix
    variances: Matrix
    directions: Matrix


def output_moments(model: onnx.ModelProto, layers: Sequence[DenseLayer], pictures: Pictures) -> dict[str, Moments]:
    """Means and principal components, by the layer's output.

    Args:
        model: one uint8 input.
        pictures: uint8 (N, height, width, channels).
    Raises:
        PassError: no pictures, or a graph that can't be run on them.
    """
    run = _runner(model, [one.output for one in layers], pictures)
    counts = dict.fromkeys((one.output for one in layers), 0)
    sums = {one.output: np.zeros(len(one.matrix)) for one in layers}
    squares = {one.output: np.zeros((len(one.matrix),) * 2) for one in layers}
    for start in range(0, len(pictures), CHUNK):
        values = _run(run, pictures[start : start + CHUNK])
        for one in layers:
            rows = one.rows(values[one.output])
            counts[one.output] += len(rows)
            sums[one.output] += rows.sum(axis=0)
            squares[one.output] += rows.T @ rows
    return {one.output: _moments(one, counts[one.output], sums[one.output], squares[one.output]) for one in layers}


def _moments(layer: DenseLayer, count: int, total: Matrix, squares: Matrix) -> Moments:
    mean = total / count if layer.bias is not None else np.zeros_like(total)
    variances, directions = np.linalg.eigh(squares / count - np.outer(mean, mean))
    return Moments(mean, np.clip(variances[::-1], 0, None), directions[:, ::-1])


def multiply_adds(model: onnx.ModelProto, pictures: Pictures) -> dict[str, float]:
    """Of one picture, by the output of each convolution, linear layer and product by a constant.

    Raises:
        PassError: as ``output_moments``.
    """
    sizes = {one.name: tuple(one.dims) for one in model.graph.initializer}
    weighted = [
        node for node in model.graph.node if node.op_type in ("Conv", "Gemm", "MatMul") and node.input[1] in sizes
    ]
    names = [str(node.output[0]) for node in weighted]
    values = _run(_runner(model, names, pictures), pictures[:1])
    costs = {}
    for node, name in zip(weighted, names, strict=True):
        outputs = values[name].shape[1] if node.op_type == "Conv" else values[name].shape[-1]
        costs[name] = values[name].size * float(np.prod(sizes[node.input[1]])) / outputs
    return costs


def _runner(model: onnx.ModelProto, names: Sequence[str], pictures: Pictures) -> RunOnce:
    """What runs the graph with these tensors among its outputs."""
    constants = {one.name for one in model.graph.initializer}
    inputs = [one for one in model.graph.input if one.name not in constants]
    if len(inputs) != 1 or inputs[0].type.tensor_type.elem_type != TensorProto.UINT8:
        raise PassError("the model must take one uint8 tensor of pixels; 'quickeye models import' wraps others so")
    require_pictures(pictures)
    wider = onnx.ModelProto()
    wider.CopyFrom(model)
    there = {one.name for one in model.graph.output}
    wider.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in names if name not in there)
    try:
        return open_graph(wider.SerializeToString(), inputs[0].name)
    except ImportRefusedError as error:
        raise PassError(str(error)) from error


def _run(run: RunOnce, pictures: NDArray[np.uint8]) -> dict[str, NDArray[np.generic]]:
    try:
        return {name: np.asarray(value) for name, value in run(pictures).items()}
    except ImportRefusedError as error:
        raise PassError(str(error)) from error
