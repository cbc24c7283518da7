"""Numbers as 8 bits would have them, and gradients as if nothing had been rounded.

Rounding has no gradient of use; the straight-through estimator (Bengio et al., 2013) takes that of the
identity, and none where the range cuts off. torch's fake quantisation does both.

The ranges are those of the tensor itself: a batch's activations are cut at the same share of their values
as ``quantize_int8`` cuts those of its calibration pictures, weights have a scale for each output. So there is
nothing to learn or to remember beside the network, and a run that is killed has nothing to lose.
"""

import torch
from torch import Tensor
from torch.nn import functional

from optimize.passes.quantize_int8 import QuantizeInt8
from optimize.passes.weight_rounding import LIMIT, PAIR_LIMIT, Pairs

_LEVELS = 255
# Of a larger batch, evenly spaced values stand for all.
_LOOKED_AT = 2**16
_BEYOND = 1 - float(QuantizeInt8().percentile)
_LEAST = 1e-12


def round_activations(values: Tensor) -> Tensor:
    """In unsigned 8 bits with one scale.

    Args:
        values: floats of any shape.
    Returns:
        The same shape; 0 stays 0.
    """
    low, high = _range(values.detach())
    scale = ((high - low) / _LEVELS).clamp(min=_LEAST)
    zero = torch.round(-low / scale).to(torch.int32)
    return torch.fake_quantize_per_tensor_affine(values, scale, zero, 0, _LEVELS)


def round_weights(weights: Tensor, pairs: Pairs) -> Tensor:
    """In signed 8 bits with a scale for each output.

    Args:
        weights: (O, …).
        pairs: which of an output's weights may not add up to more than ±128 codes, see ``weight_rounding``.
    """
    scale = _scales(weights.detach().float().flatten(1), pairs)
    return torch.fake_quantize_per_channel_affine(
        weights, scale, torch.zeros_like(scale, dtype=torch.int32), 0, -LIMIT, LIMIT
    )


def _range(values: Tensor) -> tuple[Tensor, Tensor]:
    lies_by_place = values.ndim == 4 and values.is_contiguous(memory_format=torch.channels_last)
    flat = (values.permute(0, 2, 3, 1) if lies_by_place else values).flatten()  # as it lies: no copy
    flat = flat[:: max(1, len(flat) // _LOOKED_AT)].float()
    cut = max(1, round(_BEYOND * len(flat)))
    high = torch.topk(flat, cut, sorted=False).values.amin().clamp(min=0)
    low = flat.amin()
    if low < 0:
        low = torch.topk(flat, cut, largest=False, sorted=False).values.amax()
    return low.clamp(max=0), high


def _scales(rows: Tensor, pairs: Pairs) -> Tensor:
    """The smallest (O,) at which no weight and no pair of weights (O, K) is beyond its limit."""
    scale = rows.abs().amax(1) / LIMIT
    if pairs != "free" and rows.shape[1] > 1:
        for side in (rows, -rows):
            scale = torch.maximum(scale, _largest_pair(side.clamp(min=0), pairs) / PAIR_LIMIT)
    return scale.clamp(min=_LEAST)


def _largest_pair(rows: Tensor, pairs: Pairs) -> Tensor:
    if pairs == "any":
        return torch.topk(rows, 2, dim=1, sorted=False).values.sum(1)
    return functional.pad(rows, (0, rows.shape[1] % 2)).reshape(len(rows), -1, 2).sum(2).amax(1)
