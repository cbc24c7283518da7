"""The bootstrap (Efron, 1979): how far a figure would move had other pictures been taken.

Drawing n of n pictures with replacement is giving each a weight of 0, 1, 2 …; a
statistic that takes weights is computed for many draws at once. ``groups`` makes
it stratified: each class keeps its number of pictures, for sets whose make-up
was chosen rather than found.
"""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

Weights = NDArray[np.float64]
# (rounds, n) weights → (rounds, figures); NaN where a draw does not give the figure.
Statistic = Callable[[Weights], NDArray[np.float64]]

ROUNDS = 1000
_CHUNK = 200_000  # weights at once: what a core's cache holds


def draws(
    n: int, rounds: int, generator: np.random.Generator, groups: NDArray[np.int64] | None = None
) -> Iterator[Weights]:
    """Weights (some rounds, n), until there were ``rounds``; each row sums to n, and to its size in each group."""
    rows_at_once = max(1, _CHUNK // max(1, n))
    parts = [np.arange(n)] if groups is None else [np.flatnonzero(groups == one) for one in np.unique(groups)]
    for start in range(0, rounds, rows_at_once):
        rows = min(rows_at_once, rounds - start)
        taken = np.concatenate([part[generator.integers(0, len(part), (rows, len(part)))] for part in parts], axis=1)
        places = (taken + np.arange(rows)[:, None] * n).ravel()
        yield np.bincount(places, minlength=rows * n).reshape(rows, n).astype(np.float64)


def bootstrap(
    statistic: Statistic,
    n: int,
    generator: np.random.Generator,
    *,
    rounds: int = ROUNDS,
    groups: NDArray[np.int64] | None = None,
) -> NDArray[np.float64]:
    """The statistic of ``rounds`` draws of n pictures, (rounds, figures)."""
    return np.concatenate([statistic(weights) for weights in draws(n, rounds, generator, groups)])


def interval(values: NDArray[np.float64]) -> tuple[float, float] | None:
    """Percentiles 2.5 and 97.5 of one figure's draws; None where hardly any draw gave it."""
    known = values[np.isfinite(values)]
    if len(known) < max(20, len(values) // 2):
        return None
    low, high = np.percentile(known, (2.5, 97.5))
    return float(low), float(high)
