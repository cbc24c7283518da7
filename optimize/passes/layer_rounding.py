"""A layer's weights and bias in 8 bits, from what really arrives at the layer.

What arrives is gathered as mean and covariance (``input_moments``); the weights are rounded so that the
outputs change least (``weight_rounding``, ``damping``), and what shifted on average goes into the bias. A layer
that stays in float is computed with weights of 24 bits, float32's precision, so that
its sums are whole numbers, and thus exact, as well.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from optimize.passes.coded import Coded
from optimize.passes.damping import OF_FEW_PICTURES, choose_share, damped
from optimize.passes.float64_operators import WEIGHTED
from optimize.passes.float_graph import Step
from optimize.passes.input_moments import Moments, input_moments
from optimize.passes.weight_rounding import pairs_of, round_weights

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
    parts = [input_moments(use.step, use.source, weights) for use in uses]
    moments = [known if held is None else known + held for known, held in parts]
    covariance = _mean_covariance(moments)
    groups = len(covariance)
    grouped = weights.reshape(groups, len(weights) // groups, -1)
    sizes = [use.source.scale.size for use in uses]
    floors = [(use.bias.abs() / (_BIAS_LIMIT * size)).clamp(min=1e-12) for use, size in zip(uses, sizes, strict=True)]
    floor = torch.stack(floors).amax(0).view(groups, -1)
    pairs = pairs_of(weights, groups) if pair_safe else "free"
    share = OF_FEW_PICTURES
    held = [one for _, one in parts if one is not None]
    if held:
        known = _mean_covariance([one for one, _ in parts])
        share = choose_share(grouped, known, _mean_covariance(held), floor, pairs)
    codes, scales = round_weights(grouped, damped(covariance, share), floor, pairs)
    rounded = []
    for use, size, one in zip(uses, sizes, moments, strict=True):
        lost = ((grouped - codes * scales[..., None]) * one.mean[:, None]).sum(2)
        units = scales.flatten() * size
        bias = torch.round((use.bias + lost.flatten()) / units)
        rounded.append(Whole(codes.reshape(weights.shape), scales.flatten(), bias, units))
    return rounded


def _mean_covariance(moments: Sequence[Moments]) -> Tensor:
    return torch.stack([one.covariance for one in moments]).mean(0)


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
