"""Zeros for the weights that matter least by their magnitude.

``unstructured`` takes the share ``share`` of all weights, wherever they stand. Which layer
gives how many is settled by LAMP (Lee et al., 2021, arXiv:2010.07611): a weight's square counts as a
share of what would be left of its layer if it were the next to go,

    w² / Σ v² over the layer's weights v that are at least as large,

so that no layer is emptied because its weights are small as a whole, and layers of few weights
keep more of them. ``2:4`` takes two of every four neighbours along a layer's inputs, the form that
tensor cores of NVIDIA's Ampere and later can use (Mishra et al., 2021, arXiv:2104.08378), through
TensorRT; layers whose inputs are no multiple of four stay whole. A depthwise convolution has few
weights and depends on each, so it is left alone.

Zeros are multiplied like any number by the dense kernels of ONNX Runtime and OpenVINO on
CPUs: such a model runs no faster there. Nor is its file smaller before ``sparse_storage`` has
stored it. Nothing recovers here: where zeros may cost little, let them come while the network
trains (``training/sparsity``), which chooses by the functions of this file, too.
"""

from typing import Annotated, Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper
from pydantic import Field

from model_zoo.onnx_safety import nodes
from optimize.passes import Pass, PassConfig
from optimize.passes.layer_weights import depthwise_weights, layer_weights, read_model, write_model
from optimize.passes.pictures import Pictures

Weights = NDArray[np.float32]
Kept = NDArray[np.bool_]


class Sparsify(PassConfig):
    """``share`` of the weights becomes 0 where the pattern is ``unstructured``; ``2:4`` is half of them always."""

    pattern: Literal["unstructured", "2:4"] = "unstructured"
    share: Annotated[float, Field(gt=0, lt=1)] = 0.5


def sparsify(model: bytes, _: Pictures, config: Sparsify) -> bytes:
    """Set weights to 0.

    Args:
        model: ONNX.
        config: see ``Sparsify``.
    Raises:
        PassError: not an ONNX model.
    """
    parent = read_model(model)
    alone = depthwise_weights(parent)
    tensors = {one.name: one for one in layer_weights(parent, least=1) if one.name not in alone}
    weights = {name: numpy_helper.to_array(one) for name, one in tensors.items()}
    if config.pattern == "2:4":
        axes = _input_axes(parent)
        kept = {name: two_of_four(np.abs(each), axes[name]) for name, each in weights.items()}
    else:
        kept = kept_by_lamp(weights, config.share)
    for name, tensor in tensors.items():
        tensor.CopyFrom(numpy_helper.from_array(np.where(kept[name], weights[name], np.float32(0)), name))
    return write_model(parent)


def kept_by_lamp(weights: dict[str, Weights], share: float) -> dict[str, Kept]:
    """All but ``share`` of the weights, the lowest LAMP scores first.

    Args:
        weights: of each layer, of any shape.
        share: 0 to 1.
    Returns:
        Of the same shapes.
    """
    if not weights:
        return {}
    scores = np.concatenate([_scores(each) for each in weights.values()])
    kept = np.ones(scores.size, bool)
    kept[np.argsort(scores, kind="stable")[: round(share * scores.size)]] = False
    ends = np.cumsum([each.size for each in weights.values()])[:-1]
    return {name: part.reshape(weights[name].shape) for name, part in zip(weights, np.split(kept, ends), strict=True)}


def _scores(weights: Weights) -> NDArray[np.float64]:
    squares = weights.ravel().astype(np.float64) ** 2
    order = np.argsort(squares, kind="stable")
    rest = np.cumsum(squares[order][::-1])[::-1]
    scores = np.zeros(squares.size)
    scores[order] = squares[order] / np.maximum(rest, np.finfo(np.float64).tiny)
    return scores


def _input_axes(model: onnx.ModelProto) -> dict[str, int]:
    """Along which axis of its weights a layer's inputs lie."""
    axes = {}
    for node in nodes(model):
        turned = any(one.name == "transB" and one.i for one in node.attribute)
        axes.update(dict.fromkeys(node.input[1:2], int(node.op_type == "Conv" or turned)))
    return axes


def two_of_four(scores: Weights, axis: int) -> Kept:
    """The two highest of every four neighbours; all, where the axis is no multiple of four.

    Args:
        scores: of a layer's weights, of their shape.
        axis: along which its inputs lie.
    """
    last = np.moveaxis(scores, axis, -1)
    if last.shape[-1] % 4:
        return np.ones(scores.shape, bool)
    fours = last.reshape(*last.shape[:-1], -1, 4)
    kept = np.zeros(fours.shape, bool)
    np.put_along_axis(kept, np.argsort(fours, axis=-1, kind="stable")[..., 2:], True, axis=-1)
    return np.moveaxis(kept.reshape(last.shape), -1, axis)


PASS: Pass[Sparsify] = Pass(Sparsify, sparsify, needs_pictures=False)
