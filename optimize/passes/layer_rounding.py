"""A layer's weights and bias in 8 bits, from what really arrives at the layer.

What arrives is gathered as mean and covariance; the weights are rounded so that the
outputs change least (``weight_rounding``), and what shifted on average goes into the bias. A layer
that stays in float is computed with weights of 24 bits, float32's precision, so that
its sums are whole numbers, and thus exact, as well.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from optimize.passes.coded import Coded
from optimize.passes.float64_operators import WEIGHTED, taps
from optimize.passes.float_graph import Step
from optimize.passes.weight_rounding import pairs_of, round_weights

STATISTICS_SIDE = 8
_BIAS_LIMIT = 2**30
_FLOAT_BITS = 24


@dataclass(frozen=True, slots=True)
class Layer:
    """Weights (O, …) int8 with scales (O,) float32, and bias (O,) int32 in units of input scale × weight scale.

    ``name`` is that of the weights, no other layer's.
    """

    name: str
    codes: NDArray[np.int8]
    scales: NDArray[np.float32]
    bias: NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Whole:
    """A layer in whole numbers, float64: weights (O, …) of ``scales`` (O,), bias (O,), and the sums' ``units`` (O,)."""

    weights: Tensor
    scales: Tensor
    bias: Tensor
    units: Tensor

    def outputs(self, step: Step, source: Coded) -> Iterator[Tensor]:
        """float64 (n, O, …), a few pictures at a time."""
        shape = (1, -1, 1, 1) if step.op == "Conv" else (1, -1)
        for part in source.chunks():
            sums = WEIGHTED[step.op](part, self.weights, step.attributes)
            yield (sums + self.bias.view(shape)) * self.units.view(shape)


@dataclass(frozen=True, slots=True)
class Use:
    """Where a layer's weights are used: on what, and with which bias (O,), float64."""

    step: Step
    source: Coded
    bias: Tensor


def round_layer(uses: Sequence[Use], weights: Tensor, *, pair_safe: bool) -> list[Whole]:
    """Weights rounded once for all uses, each use with its bias.

    Args:
        uses: one or more, of the same kernel and groups.
        weights: float64 (O, …).
        pair_safe: keep pairs of weights small, see ``weight_rounding``.
    Returns:
        For each use; the weights are the same.
    """
    moments = [_moments(use.step, use.source, weights) for use in uses]
    covariance = sum((one for _, one in moments[1:]), moments[0][1]) / len(uses)
    groups = len(covariance)
    grouped = weights.reshape(groups, len(weights) // groups, -1)
    sizes = [use.source.scale.size for use in uses]
    floors = [(use.bias.abs() / (_BIAS_LIMIT * size)).clamp(min=1e-12) for use, size in zip(uses, sizes, strict=True)]
    pairs = pairs_of(weights, groups) if pair_safe else "free"
    codes, scales = round_weights(grouped, covariance, torch.stack(floors).amax(0).view(groups, -1), pairs)
    rounded = []
    for use, size, (mean, _) in zip(uses, sizes, moments, strict=True):
        lost = ((grouped - codes * scales[..., None]) * mean[:, None]).sum(2)
        units = scales.flatten() * size
        bias = torch.round((use.bias + lost.flatten()) / units)
        rounded.append(Whole(codes.reshape(weights.shape), scales.flatten(), bias, units))
    return rounded


def float_layer(use: Use, weights: Tensor) -> Whole:
    """A layer as float32 has it.

    Args:
        weights: float64 (O, …).
    """
    widest = weights.flatten(1).abs().amax(1).clamp(min=1e-30)
    unit = torch.exp2(torch.ceil(torch.log2(widest)) - _FLOAT_BITS)
    whole = torch.round(weights / unit.view(-1, *[1] * (weights.ndim - 1)))
    units = unit * use.source.scale.size
    return Whole(whole, unit, torch.round(use.bias / units), units)


def as_layer(name: str, whole: Whole) -> Layer:
    """As it is written."""
    return Layer(
        name,
        whole.weights.to(torch.int8).numpy(),
        whole.scales.float().numpy(),
        whole.bias.to(torch.int32).numpy(),
    )


def _moments(step: Step, source: Coded, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (G, K) and covariance (G, K, K) of what each group of outputs sees; sums are whole, thus exact."""
    total: Tensor | float = 0.0
    squares: Tensor | float = 0.0
    count = 0
    for part in source.chunks():
        seen = _seen(step, part, weights)
        total = total + seen.sum(2)
        squares = squares + seen @ seen.transpose(1, 2)
        count += seen.shape[2]
    mean = cast("Tensor", total) * (source.scale.size / count)
    second = cast("Tensor", squares) * (source.scale.size**2 / count)
    return mean, second - mean[:, :, None] * mean[:, None]


def _seen(step: Step, part: Tensor, weights: Tensor) -> Tensor:
    """(G, K, places): the inputs of a layer, at some 8 × 8 to 15 × 15 places of each picture."""
    if step.op == "Gemm":
        return part.T[None]
    groups = int(cast("int", step.attributes.get("group", 1)))
    views = list(taps(part, (weights.shape[2], weights.shape[3]), step.attributes))
    stride = [max(1, side // STATISTICS_SIDE) for side in views[0].shape[2:]]
    stack = torch.stack([view[:, :, :: stride[0], :: stride[1]] for view in views], 2)
    return stack.transpose(0, 1).transpose(1, 2).flatten(2).reshape(groups, -1, stack[:, 0, 0].numel())
