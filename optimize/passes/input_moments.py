"""What arrives at a layer, as mean and covariance of its inputs; sums are whole numbers, thus exact.

The last third of the pictures is summed apart, so that what is settled by the others can be judged by it
(``damping``). Pictures in a row are often views of one photo: a third that is drawn at random would have seen them all.
"""

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from optimize.passes.coded import Coded
from optimize.passes.float64_operators import taps
from optimize.passes.float_graph import Step

STATISTICS_SIDE = 8
# Fewer pictures judge nothing: behind a pooling, each is a single row.
LEAST_HELD = 4


@dataclass(frozen=True, slots=True)
class Moments:
    """Sums over ``count`` places: ``total`` (G, K) and ``squares`` (G, K, K), of G groups of K inputs each."""

    count: int
    total: Tensor
    squares: Tensor

    def __add__(self, other: "Moments") -> "Moments":
        """Of both."""
        return Moments(self.count + other.count, self.total + other.total, self.squares + other.squares)

    @property
    def mean(self) -> Tensor:
        """(G, K)."""
        return self.total / self.count

    @property
    def covariance(self) -> Tensor:
        """(G, K, K)."""
        return self.squares / self.count - self.mean[:, :, None] * self.mean[:, None]


def input_moments(step: Step, source: Coded, weights: Tensor) -> tuple[Moments, Moments | None]:
    """Of the first two thirds of the pictures, and of the last; None where there are too few to part.

    Args:
        source: what arrives at ``step``.
        weights: (O, …), of which the shape counts.
    """
    known: Moments | None = None
    held: Moments | None = None
    seen = judging = 0
    for part in source.chunks():
        values = _seen(step, part, weights)
        one = Moments(values.shape[2], values.sum(2), values @ values.transpose(1, 2))
        if known is None or 3 * seen < 2 * len(source.codes):
            known = one if known is None else known + one
        else:
            held = one if held is None else held + one
            judging += len(part)
        seen += len(part)
    if held is not None and judging < LEAST_HELD:
        known, held = cast("Moments", known) + held, None
    size = source.scale.size
    return _scaled(cast("Moments", known), size), None if held is None else _scaled(held, size)


def _scaled(moments: Moments, size: float) -> Moments:
    return Moments(moments.count, moments.total * size, moments.squares * size**2)


def _seen(step: Step, part: Tensor, weights: Tensor) -> Tensor:
    """(G, K, places): the inputs of a layer, at some 8 × 8 to 15 × 15 places of each picture."""
    if step.op == "Gemm":
        return part.T[None]
    groups = int(cast("int", step.attributes.get("group", 1)))
    views = list(taps(part, (weights.shape[2], weights.shape[3]), step.attributes))
    stride = [max(1, side // STATISTICS_SIDE) for side in views[0].shape[2:]]
    stack = torch.stack([view[:, :, :: stride[0], :: stride[1]] for view in views], 2)
    return stack.transpose(0, 1).transpose(1, 2).flatten(2).reshape(groups, -1, stack[:, 0, 0].numel())
