"""Rounding a layer's weights to 8 bits so that its *outputs* change least.

Rounding each weight to the nearest code is best for the weights, not for what
they compute. Inputs of a layer are correlated: an error made in one weight can
be undone by its neighbours. So weights are rounded one input at a time, the
loudest first, and after each the remaining ones move to make up for what was
lost, as the covariance of the inputs says (GPTQ, arXiv:2210.17323, after
Hassibi's optimal brain surgeon). What shifts the mean is left to the bias. How far the covariance
is to be trusted is settled before (``damping``).

A second constraint can be kept at the same time. x86 CPUs without VNNI multiply
unsigned codes (0 to 255) by signed ones two at a time into 16 bits, and cut off
what does not fit: 255 · (a + b) > 32767. If no two weights that meet there have
a sum beyond ±128, nothing is ever cut off and their fast instruction is exact.
``pairs`` says which weights meet: ``adjacent`` inputs (2i, 2i + 1), ``any`` two
of an output's, or ``free`` where no engine pairs them. The few weights that
would break the rule are clamped, and their neighbours make up for it; an output
that loses too much by that takes a wider scale.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Pairs = Literal["free", "adjacent", "any"]

LIMIT = 127
PAIR_LIMIT = 128
BLOCK = 64
SHRINKS = (1.0, 0.97, 0.94, 0.91, 0.88)
WIDENINGS = (1.2, 1.45, 1.75, 2.1)


def pairs_of(weights: Tensor, groups: int) -> Pairs:
    """Which weights (O, I, …) meet in 16 bits: neighbours in a 1×1 layer, any in a larger kernel, none if depthwise."""
    if weights.shape[1] == 1 and groups > 1:
        return "free"
    return "adjacent" if weights[0, 0].numel() == 1 else "any"


def round_weights(weights: Tensor, covariance: Tensor, floors: Tensor, pairs: Pairs) -> tuple[Tensor, Tensor]:
    """Choose a scale for each output, then codes for its weights.

    Args:
        weights: float64 (G, O, K), G groups of O outputs of K inputs.
        covariance: float64 (G, K, K), of the inputs; positive definite.
        floors: float64 (G, O), the smallest scales allowed.
        pairs: which weights may not add up to more than ±128 codes.
    Returns:
        Codes, whole float64 (G, O, K) in −127…127, and scales (G, O), float64 that float32 holds exactly.
    """
    base = _scales(weights, covariance, floors)
    prepared = _prepare(weights, covariance)
    best_scales, best_codes = base, _codes(prepared, base, pairs)
    if pairs == "free":
        return best_codes, best_scales
    best_error = output_error(weights - best_codes * best_scales[..., None], covariance)
    for widening in WIDENINGS:
        scales = (base * widening).float().double()
        codes = _codes(prepared, scales, pairs)
        error = output_error(weights - codes * scales[..., None], covariance)
        better = error < best_error
        best_error = torch.where(better, error, best_error)
        best_scales = torch.where(better, scales, best_scales)
        best_codes = torch.where(better[..., None], codes, best_codes)
    return best_codes, best_scales


def round_to_base(weights: Tensor, covariance: Tensor, floors: Tensor, pairs: Pairs) -> tuple[Tensor, Tensor]:
    """``round_weights`` in a fifth of the time: no wider scales are tried."""
    base = _scales(weights, covariance, floors)
    return _codes(_prepare(weights, covariance), base, pairs), base


def output_error(difference: Tensor, covariance: Tensor) -> Tensor:
    """Variance of the outputs' error, (G, O), for a change of weights (G, O, K)."""
    return ((difference @ covariance) * difference).sum(2)


def _scales(weights: Tensor, covariance: Tensor, floors: Tensor) -> Tensor:
    """Per output, the share of its largest weight that rounds to nearest with the least error."""
    widest = weights.abs().amax(2)
    best_scale = best_error = torch.empty(0)
    for share in SHRINKS:
        scale = torch.maximum(widest * (share / LIMIT), floors).float().double()
        codes = torch.clamp(torch.round(weights / scale[..., None]), -LIMIT, LIMIT)
        error = output_error(weights - codes * scale[..., None], covariance)
        if not best_scale.numel():
            best_scale, best_error = scale, error
        better = error < best_error
        best_scale, best_error = torch.where(better, scale, best_scale), torch.where(better, error, best_error)
    return best_scale


@dataclass(frozen=True, slots=True)
class _Prepared:
    """Weights (G, O, K) with inputs in ``order`` (G, K), and the factor (G, K, K) that says how errors spread."""

    weights: Tensor
    order: Tensor
    factor: Tensor


def _prepare(weights: Tensor, covariance: Tensor) -> _Prepared:
    groups, _, inputs = weights.shape
    order = torch.argsort(covariance.diagonal(dim1=1, dim2=2), dim=1, descending=True, stable=True)
    rows = torch.gather(covariance, 1, order[:, :, None].expand(groups, inputs, inputs))
    factor = _inverse_factor(torch.gather(rows, 2, order[:, None].expand(groups, inputs, inputs)))
    return _Prepared(torch.gather(weights, 2, order[:, None].expand_as(weights)), order, factor)


def _codes(prepared: _Prepared, scales: Tensor, pairs: Pairs) -> Tensor:
    """Inputs in blocks: within one, each code moves what is left at once; what is behind it moves once a block."""
    left, factor = prepared.weights.clone(), prepared.factor
    codes = torch.zeros_like(left)
    for start in range(0, left.shape[2], BLOCK):
        block = left[:, :, start : start + BLOCK].clone()
        end = start + block.shape[2]
        errors = torch.zeros_like(block)
        for step in range(start, end):
            place = prepared.order[:, step]
            low, high = _allowed(codes, place, pairs)
            value = block[:, :, step - start]
            code = torch.clamp(torch.round(value / scales), low, high)
            code *= prepared.weights[:, :, step] != 0  # 0 stays 0
            codes.scatter_(2, place[:, None, None].expand(*left.shape[:2], 1), code[..., None])
            error = (value - code * scales) / factor[:, step, step, None]
            errors[:, :, step - start] = error
            block[:, :, step - start :] -= error[..., None] * factor[:, step, None, step:end]
        left[:, :, end:] -= errors @ factor[:, start:end, end:]
    return codes


def _inverse_factor(covariance: Tensor) -> Tensor:
    """Upper Cholesky factor of the inverse."""
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(covariance))
    upper: Tensor = torch.linalg.cholesky(inverse, upper=True)
    return upper


def _allowed(codes: Tensor, place: Tensor, pairs: Pairs) -> tuple[Tensor, Tensor]:
    """(low, high), each (G, O): what the next code may be, beside those already chosen (0: not yet)."""
    if pairs == "any":
        most, least = codes.amax(2), codes.amin(2)
    elif pairs == "adjacent":
        partner = (place ^ 1)[:, None, None].expand(*codes.shape[:2], 1)
        known = partner < codes.shape[2]
        met = torch.gather(codes, 2, torch.where(known, partner, 0)).squeeze(2) * known.squeeze(2)
        most = least = met
    else:
        most = least = torch.zeros_like(codes[:, :, 0])
    low = torch.clamp(-PAIR_LIMIT - torch.clamp(least, max=0), min=-LIMIT)
    high = torch.clamp(PAIR_LIMIT - torch.clamp(most, min=0), max=LIMIT)
    return low, high
