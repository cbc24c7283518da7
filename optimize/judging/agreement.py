"""How often two models give the same first class, and how sure that figure is.

Agreement needs no labels, so any photos will do; it is stricter than accuracy,
since an answer that changes from wrong to right counts as a difference too.
Intervals are Wilson's (1927), which hold near 0 and 1 where the usual ± fails.
"""

from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

Z95 = 1.959963984540054
SURE = 0.5


@dataclass(frozen=True, slots=True)
class Share:
    """``hits`` of ``n``."""

    hits: int
    n: int

    @property
    def value(self) -> float:
        """Fraction, 0 to 1; NaN of none."""
        return self.hits / self.n if self.n else float("nan")

    @property
    def ci95(self) -> tuple[float, float]:
        """Wilson's 95 % interval, fractions."""
        return wilson(self.hits, self.n)

    def __str__(self) -> str:
        low, high = self.ci95
        return (
            f"{100 * self.value:.1f} % ({self.hits} of {self.n}; 95 % interval {100 * low:.1f} to {100 * high:.1f} %)"
        )


@dataclass(frozen=True, slots=True)
class Agreement:
    """``every``: same first class, all pictures. ``sure``: those where the reference gives it at least one half."""

    every: Share
    sure: Share


def wilson(hits: int, n: int, z: float = Z95) -> tuple[float, float]:
    """Wilson's score interval of a proportion, fractions.

    Raises:
        ValueError: not 0 ≤ hits ≤ n.
    """
    if not 0 <= hits <= n:
        raise ValueError(f"{hits} hits of {n} is no proportion")
    if n == 0:
        return 0.0, 1.0
    share, spread = hits / n, z * z / n
    centre = (share + spread / 2) / (1 + spread)
    half = z / (1 + spread) * sqrt(share * (1 - share) / n + spread / (4 * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def agreement(logits: NDArray[np.floating], reference: NDArray[np.floating]) -> Agreement:
    """Compare first classes row by row.

    Args:
        logits: (N, C) of the model in question.
        reference: (N, C) of its parent; softmax of these says how sure it was.
    Raises:
        ValueError: other shapes.
    """
    if logits.shape != reference.shape or logits.ndim != 2:
        raise ValueError(f"logits {logits.shape} and reference {reference.shape} must be (N, classes) alike")
    same = logits.argmax(axis=1) == reference.argmax(axis=1)
    shifted = np.exp(reference - reference.max(axis=1, keepdims=True, initial=-np.inf))
    sure = 1.0 / shifted.sum(axis=1) >= SURE
    return Agreement(Share(int(same.sum()), len(same)), Share(int(same[sure].sum()), int(sure.sum())))


def top_k_hits(logits: NDArray[np.floating], labels: NDArray[np.int64], k: int = 1) -> Share:
    """How many rows have their label among the ``k`` highest."""
    best = np.argsort(-logits, axis=1, kind="stable")[:, :k]
    return Share(int((best == labels[:, None]).any(axis=1).sum()), len(labels))
