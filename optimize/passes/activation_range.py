"""How wide a tensor's 8 bits reach: the methods, by name.

Each takes a tensor's values over all calibration pictures and answers
(low, high). Wide ranges round coarsely, narrow ones cut off: which is better
depends on the net, so a recipe names its method and says what was measured.
"""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

Range = tuple[float, float]
RangeMethod = Literal["min_max", "average", "percentile", "least_squares"]

_BINS = 4096
_SHRINKS = 71


def activation_range(values: Tensor, method: RangeMethod, percentile: float) -> Range:
    """A range that holds 0 and is not empty.

    Args:
        values: float32 (N, …), N pictures.
        method: an entry of ``METHODS``.
        percentile: share of values kept on each side, for ``percentile`` alone.
    """
    low, high = METHODS[method](values, percentile)
    low, high = min(low, 0.0), max(high, 0.0)
    return (low, high) if high > low else (0.0, 1.0)


def _min_max(values: Tensor, _: float) -> Range:
    return float(values.min()), float(values.max())


def _average(values: Tensor, _: float) -> Range:
    """Mean over pictures of each one's extremes (a moving average, without its memory of the order)."""
    each = values.flatten(1).double()
    return float(each.amin(1).mean()), float(each.amax(1).mean())


def _percentile(values: Tensor, percentile: float) -> Range:
    flat = values.flatten()
    cut = max(1, round((1 - percentile) * flat.numel()))
    high = torch.topk(flat, cut).values[-1]
    low = torch.topk(flat, cut, largest=False).values[-1]
    return float(low), float(high)


def _least_squares(values: Tensor, _: float) -> Range:
    """The share of min–max with the smallest squared error of rounding and cutting off, from a histogram."""
    low, high = _min_max(values, 0)
    if not high > low:
        return low, high
    places = ((values.flatten() - low) * ((_BINS - 1) / (high - low))).round().to(torch.int64)
    counts = torch.bincount(places, minlength=_BINS).double()
    centres = torch.linspace(low, high, _BINS, dtype=torch.float64)
    best = (torch.inf, low, high)
    for share in torch.linspace(0.3, 1.0, _SHRINKS, dtype=torch.float64).tolist():
        bottom, top = min(low * share, 0.0), max(high * share, 0.0)
        step = (top - bottom) / 255
        kept = torch.clamp(torch.round((centres - bottom) / step), 0, 255) * step + bottom
        best = min(best, (float(((kept - centres) ** 2 * counts).sum()), bottom, top))
    return best[1], best[2]


METHODS: dict[str, Callable[[Tensor, float], Range]] = {
    "min_max": _min_max,
    "average": _average,
    "percentile": _percentile,
    "least_squares": _least_squares,
}
