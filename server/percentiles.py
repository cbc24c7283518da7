"""Percentiles from every sample, never from buckets.

Nearest rank: the smallest sample that at least q of all samples do not
exceed, so every figure printed is a latency that really happened. A
percentile with no sample beyond it would be the maximum under another name;
it is left out (p99 needs 100 samples, p99.9 needs 1,000).
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

# What a report shows: name -> per mille, whole numbers so that ranks are exact.
REPORTED: dict[str, int] = {"p50": 500, "p90": 900, "p95": 950, "p99": 990, "p99.9": 999}


@dataclass(frozen=True, slots=True)
class Percentiles:
    """``n`` samples; ``values`` keeps the unit of the samples and has the names of ``REPORTED`` that n allows."""

    n: int
    mean: float
    values: dict[str, float]
    maximum: float

    def as_json(self, scale: float = 1.0, digits: int = 3) -> dict[str, float | int | None]:
        """One flat object; percentiles that n does not allow are null.

        Args:
            scale: multiplies every value: 1000.0 turns seconds into milliseconds.
            digits: decimals kept.
        """

        def shown(value: float | None) -> float | None:
            return None if value is None else round(value * scale, digits)

        named = {name: shown(self.values.get(name)) for name in REPORTED}
        return {"n": self.n, "mean": shown(self.mean), **named, "max": shown(self.maximum)}


def nearest_rank(ordered: Sequence[float], per_mille: int) -> float:
    """The nearest-rank percentile of samples in ascending order.

    Raises:
        ValueError: no samples, or ``per_mille`` is not in 1..1000.
    """
    if not len(ordered) or not 1 <= per_mille <= 1000:
        raise ValueError(f"a percentile needs samples and 1 to 1000 per mille, not {len(ordered)} and {per_mille}")
    return ordered[math.ceil(len(ordered) * per_mille / 1000) - 1]


def percentiles(samples: Iterable[float]) -> Percentiles | None:
    """Summarise samples of any unit; None when there are none."""
    ordered = np.sort(np.fromiter(samples, dtype=np.float64)).tolist()
    if not ordered:
        return None
    n = len(ordered)
    values = {
        name: nearest_rank(ordered, per_mille)
        for name, per_mille in REPORTED.items()
        if n * (1000 - per_mille) >= 1000 or per_mille == 500
    }
    return Percentiles(n, math.fsum(ordered) / n, values, ordered[-1])
