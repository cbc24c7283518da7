"""What a plan is made of: how long things take, where and when that was measured."""

import itertools
import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

from server.latency_model import LatencyModel

# Where a spread is kept: shares of all batches, rising.
SHARES = (0.0, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 1.0)
# Files have four decimals: a mean this near to 1 was 1, and what is read, written and read again stays what it was.
ROUNDED = 1e-4
# The tails of a log-normal reach to infinity; a plan's reach as far as one batch in two thousand.
FARTHEST = 0.9995

# CPU of the HTTP loop for a request, where nobody measured it: what benchmarks.server_overhead finds with a model of
# 224 px, less decoding and preprocessing; and what a lone caller waits besides, by benchmarks.lone_request.
ASSUMED_REQUEST_S = 0.0005
ASSUMED_ADDED_S = 0.001


@dataclass(frozen=True, slots=True)
class Spread:
    """How times vary around their mean: ``factors[i]`` of it, or less, at the share ``SHARES[i]``; mean 1."""

    factors: tuple[float, ...] = (1.0,) * len(SHARES)

    @classmethod
    def through(cls, shares: Sequence[float], values: Sequence[float]) -> "Spread":
        """Of a distribution function known at some shares, straight lines between; any unit."""
        return cls._normalised([_interpolated(shares, values, share) for share in SHARES])

    @classmethod
    def of(cls, samples: Sequence[float]) -> "Spread":
        """Of samples, at least one, in any unit."""
        ordered = sorted(samples)
        last = len(ordered) - 1
        return cls._normalised([ordered[round(share * last)] for share in SHARES])

    @classmethod
    def lognormal(cls, sigma: float) -> "Spread":
        """Of a log-normal distribution; ``sigma`` 0 is none."""
        normal = NormalDist(0.0, sigma) if sigma else None
        ends = [min(FARTHEST, max(1 - FARTHEST, share)) for share in SHARES]
        return cls._normalised([math.exp(normal.inv_cdf(end)) if normal else 1.0 for end in ends])

    def at(self, share: float) -> float:
        """The factor that this share of all times does not exceed."""
        return _interpolated(SHARES, self.factors, share)

    @classmethod
    def _normalised(cls, values: Sequence[float]) -> "Spread":
        steps = zip(itertools.pairwise(SHARES), itertools.pairwise(values), strict=True)
        mean = sum((high - low) * (left + right) / 2 for (low, high), (left, right) in steps)
        if abs(mean - 1) < ROUNDED:
            return cls(tuple(values))
        return cls(tuple(value / mean for value in values))


@dataclass(frozen=True, slots=True)
class Measured:
    """One model on one kind of machine. Times in seconds.

    ``batch_s``: size → one instance's time from the first decode to the last answer, all instances at work.
    ``decode_s`` and ``preprocess_s``: of one picture, part of that. ``request_s``: CPU of the HTTP loop for a request.
    ``added_s``: what a lone caller waits besides ``batch_s[1]``.
    """

    model: str
    version: int | None
    source: str
    machine: str
    date: str
    backend: str
    device: str
    instances: int
    threads: int
    cores: int
    batch_s: Mapping[int, float]
    decode_s: float
    preprocess_s: float
    request_s: float
    added_s: float
    spread: Spread
    notes: tuple[str, ...] = ()

    @property
    def infer_s(self) -> float:
        """The engine's share of a batch of one."""
        return max(0.0, self.batch_s[1] - self.decode_s - self.preprocess_s)

    def latency_model(self) -> LatencyModel:
        """As the server would have learned it: also for sizes between those measured."""
        model = LatencyModel()
        for images, seconds in self.batch_s.items():
            model.observe(images, seconds)
        return model


def _interpolated(xs: Sequence[float], ys: Sequence[float], x: float) -> float:
    place = bisect_right(xs, x)
    if place == 0:
        return ys[0]
    if place == len(xs):
        return ys[-1]
    share = (x - xs[place - 1]) / (xs[place] - xs[place - 1])
    return ys[place - 1] + share * (ys[place] - ys[place - 1])
