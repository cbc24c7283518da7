"""How wide a tensor's 8 bits reach: the methods, by name.

Each looks at a tensor's values over all calibration pictures, a few pictures at a
time and as often as it must, and answers (low, high). Wide ranges round coarsely, narrow
ones cut off: which is better depends on the net, so a recipe names its method and says what
was measured. Entropy is here because others' tools name it; it cuts off far too much
where a few large values decide, as in EfficientNets.
"""

from collections.abc import Callable, Iterable
from typing import Literal

import torch
from torch import Tensor

Range = tuple[float, float]
RangeMethod = Literal["min_max", "average", "percentile", "least_squares", "entropy"]
# Read from its first picture to its last, again at each reading: float32 (n, …).
Parts = Iterable[Tensor]

_BINS = 4096
_LEVELS = 256
_SHRINKS = 71


def activation_range(values: Parts, method: RangeMethod, percentile: float) -> Range:
    """A range that holds 0 and is not empty.

    Args:
        values: can be read more than once.
        method: an entry of ``METHODS``.
        percentile: share of values kept on each side, for ``percentile`` alone.
    """
    low, high = METHODS[method](values, percentile)
    low, high = min(low, 0.0), max(high, 0.0)
    return (low, high) if high > low else (0.0, 1.0)


def _min_max(values: Parts, _: float) -> Range:
    extremes = torch.tensor([[float(part.min()), float(part.max())] for part in values], dtype=torch.float64)
    return float(extremes[:, 0].min()), float(extremes[:, 1].max())


def _average(values: Parts, _: float) -> Range:
    """Mean over pictures of each one's extremes (a moving average, without its memory of the order)."""
    each = [(flat.amin(1), flat.amax(1)) for flat in (part.flatten(1).double() for part in values)]
    low, high = (torch.cat(side).mean() for side in zip(*each, strict=True))
    return float(low), float(high)


def _percentile(values: Parts, percentile: float) -> Range:
    """The values themselves at these places of the order; what is kept of them meanwhile is the share beyond."""
    cut = max(1, round((1 - percentile) * sum(part.numel() for part in values)))
    least = most = torch.empty(0)
    for part in values:
        flat = part.flatten()
        most = _largest(torch.cat([most, _largest(flat, cut)]), cut)
        least = -_largest(-torch.cat([least, -_largest(-flat, cut)]), cut)
    return float(least.max()), float(most.min())


def _largest(values: Tensor, count: int) -> Tensor:
    return torch.topk(values, min(count, len(values)), sorted=False).values


def _least_squares(values: Parts, _: float) -> Range:
    """The share of min–max with the smallest squared error of rounding and cutting off, from a histogram."""

    def error(counts: Tensor, centres: Tensor, bottom: float, top: float) -> float:
        step = (top - bottom) / (_LEVELS - 1)
        kept = torch.clamp(torch.round((centres - bottom) / step), 0, _LEVELS - 1) * step + bottom
        return float(((kept - centres) ** 2 * counts).sum())

    return _best_share(values, error)


def _entropy(values: Parts, _: float) -> Range:
    """The share of min–max whose 256 levels keep most of the distribution, by Kullback–Leibler divergence.

    Source: Migacz, "8-bit inference with TensorRT", 2017.
    """

    def divergence(counts: Tensor, centres: Tensor, bottom: float, top: float) -> float:
        inside = (centres >= bottom) & (centres <= top)
        if not inside.any():  # all values lie beyond: nothing would be left
            return torch.inf
        seen = counts[inside].clone()
        seen[0] += counts[centres < bottom].sum()
        seen[-1] += counts[centres > top].sum()
        level = torch.clamp((centres[inside] - bottom) / (top - bottom) * _LEVELS, max=_LEVELS - 1).to(torch.int64)
        filled = counts[inside] > 0
        total = torch.zeros(_LEVELS, dtype=torch.float64).index_add_(0, level, counts[inside])
        places = torch.zeros(_LEVELS, dtype=torch.float64).index_add_(0, level, filled.double())
        said = torch.where(filled, (total / places.clamp(min=1))[level], 0.0)
        p, q = seen / seen.sum(), said / said.sum()
        lost = (p > 0) & (q == 0)
        known = (p > 0) & (q > 0)
        return float((p[known] * (p[known] / q[known]).log()).sum()) + float(p[lost].sum())

    return _best_share(values, divergence)


def _best_share(values: Parts, loss: Callable[[Tensor, Tensor, float, float], float]) -> Range:
    """The share of min–max with the least ``loss(counts, centres, bottom, top)``, of a histogram's bins."""
    low, high = _min_max(values, 0)
    if not high > low:
        return low, high
    counts = torch.zeros(_BINS, dtype=torch.float64)
    for part in values:
        places = ((part.flatten() - low) * ((_BINS - 1) / (high - low))).round().to(torch.int64)
        counts += torch.bincount(places, minlength=_BINS)
    centres = torch.linspace(low, high, _BINS, dtype=torch.float64)
    best = (torch.inf, low, high)
    for share in torch.linspace(0.3, 1.0, _SHRINKS, dtype=torch.float64).tolist():
        bottom, top = min(low * share, 0.0), max(high * share, 0.0)
        best = min(best, (loss(counts, centres, bottom, top), bottom, top))
    return best[1], best[2]


METHODS: dict[str, Callable[[Parts, float], Range]] = {
    "min_max": _min_max,
    "average": _average,
    "percentile": _percentile,
    "least_squares": _least_squares,
    "entropy": _entropy,
}
