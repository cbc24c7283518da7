"""Linear layers and 1×1 convolutions as two thinner ones, by the principal components of what they give.

A layer of K inputs and O outputs costs O·K multiply-adds; through r numbers in between it
costs r·(O + K). These are the r directions in which the layer's *outputs* vary most
over the calibration pictures (Zhang et al., 2016, arXiv:1505.06798), which for a given r
is the least squared error of the outputs:

    y = W x + b   ≈   U (Uᵀ W) x + b',   U: first r eigenvectors of the covariance of y

and b' keeps the mean of y (a product without bias is taken by its second moments, without one).
A plain SVD of W would keep directions that the inputs never take.

``energy`` is the share of each layer's output variance to keep. With ``macs`` the energy is
found instead: the largest with which the whole graph's multiply-adds fall to that share.
A layer that would not become cheaper by the share ``least_saving`` stays as it is, and so does
the one that makes the logits: a class-activation map looks its rows up.

Each layer is judged by the parent's activations, not by those of the layers already
changed. Training recovers a good part of what is lost; this pass does not train. Two thin layers
are two calls and one more tensor to write: fewer multiply-adds are not always faster, so measure.
"""

from typing import Annotated

import numpy as np
import onnx
from pydantic import Field

from model_zoo.graph_pooled_head import LOGITS
from model_zoo.graph_tidy import drop_dead_ends
from optimize.errors import PassError
from optimize.passes import Pass, PassConfig
from optimize.passes.dense_layers import DenseLayer, dense_layers
from optimize.passes.layer_weights import LAYERS, read_model, write_model
from optimize.passes.output_moments import Moments, multiply_adds, output_moments
from optimize.passes.pictures import Pictures

_HALVINGS = 40


class LowRank(PassConfig):
    """``macs``, where it is given, takes the place of ``energy``."""

    energy: Annotated[float, Field(gt=0, le=1)] = 0.999
    macs: Annotated[float, Field(gt=0, lt=1)] | None = None
    least_saving: Annotated[float, Field(ge=0, lt=1)] = 0.1


def low_rank(model: bytes, pictures: Pictures, config: LowRank) -> bytes:
    """Split the layers that become cheaper by it.

    Args:
        model: float ONNX, uint8 NHWC in.
        pictures: uint8 (N, height, width, channels); natural and varied, never those that judge the result.
        config: see ``LowRank``.
    Raises:
        PassError: no pictures, a graph that can't be run on them, or a share of ``macs`` out of reach.
    """
    parent = read_model(model)
    last = _layers_before_logits(parent)
    layers = [one for one in dense_layers(parent) if one.output not in last]
    moments = output_moments(parent, layers, pictures)
    energy = config.energy if config.macs is None else _energy_for(parent, layers, moments, pictures, config)
    ranks = {one.output: _rank(one, moments[one.output], energy, config.least_saving) for one in layers}
    _split(parent, [one for one in layers if ranks[one.output]], ranks, moments)
    return write_model(parent)


def _layers_before_logits(model: onnx.ModelProto) -> set[str]:
    """Outputs of the layers from which only operators without weights lead to the logits."""
    makers = {name: node for node in model.graph.node for name in node.output}
    waiting, seen, found = [LOGITS], set(), set()
    while waiting:
        name = waiting.pop()
        node = makers.get(name)
        if node is None or name in seen:
            continue
        seen.add(name)
        if node.op_type in LAYERS:
            found.add(name)
        else:
            waiting.extend(node.input)
    return found


def _rank(layer: DenseLayer, moments: Moments, energy: float, least_saving: float) -> int:
    """The least rank that keeps the energy; 0 where that is not cheaper."""
    outputs, inputs = layer.matrix.shape
    kept = np.cumsum(moments.variances)
    rank = min(int(np.searchsorted(kept, energy * kept[-1])) + 1, outputs)
    return rank if rank * (outputs + inputs) <= (1 - least_saving) * outputs * inputs else 0


def _energy_for(
    model: onnx.ModelProto,
    layers: list[DenseLayer],
    moments: dict[str, Moments],
    pictures: Pictures,
    config: LowRank,
) -> float:
    costs = multiply_adds(model, pictures)
    whole = sum(costs.values())

    def share(energy: float) -> float:
        saved = 0.0
        for one in layers:
            rank = _rank(one, moments[one.output], energy, config.least_saving)
            saved += costs[one.output] * (1 - rank * sum(one.matrix.shape) / one.matrix.size) if rank else 0
        return 1 - saved / whole

    low, high, wanted = 0.0, 1.0, config.macs or 0.0
    if share(low) > wanted:
        raise PassError(
            f"macs = {wanted}: with rank 1 everywhere {share(low):.3f} of the multiply-adds are left; the rest are in "
            "layers that this pass does not split (larger kernels, grouped convolutions, the last layer)"
        )
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if share(middle) <= wanted else (low, middle)
    return low


def _split(
    model: onnx.ModelProto, layers: list[DenseLayer], ranks: dict[str, int], moments: dict[str, Moments]
) -> None:
    pairs: dict[str, list[onnx.NodeProto]] = {}
    for one in layers:
        directions = moments[one.output].directions[:, : ranks[one.output]]
        mean, bias = moments[one.output].mean, one.bias
        if bias is not None:
            bias = mean - directions @ (directions.T @ (mean - bias))
        pairs[one.output], constants = one.split(directions.T @ one.matrix, directions, bias)
        model.graph.initializer.extend(constants)
    nodes = [new for node in model.graph.node for new in pairs.get(str(node.output[0]), [node])]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    drop_dead_ends(model.graph)


PASS: Pass[LowRank] = Pass(LowRank, low_rank)
