"""When an open-loop load sends: offsets in seconds from the start, ascending.

An open loop does not wait for answers, as a crowd of strangers does not, so
the times are fixed before the first request leaves and depend on the seed
alone. All three patterns have the same mean rate.
"""

import itertools
import random
from collections.abc import Callable, Iterator


def poisson(rate: float, rng: random.Random, burst_size: int) -> Iterator[float]:
    """Independent strangers: gaps are exponential with mean 1/rate."""
    at = 0.0
    while True:
        at += rng.expovariate(rate)
        yield at


def constant(rate: float, rng: random.Random, burst_size: int) -> Iterator[float]:
    """A metronome: one every 1/rate; computed by count, so no error adds up."""
    for count in itertools.count(1):
        yield count / rate


def burst(rate: float, rng: random.Random, burst_size: int) -> Iterator[float]:
    """``burst_size`` at one instant, then nothing for burst_size/rate."""
    for count in itertools.count(1):
        yield from itertools.repeat(count * burst_size / rate, burst_size)


# name -> offsets for a rate (per second), a seeded generator and a burst size
ARRIVALS: dict[str, Callable[[float, random.Random, int], Iterator[float]]] = {
    "poisson": poisson,
    "constant": constant,
    "burst": burst,
}


def arrivals(pattern: str, rate: float, seed: int, burst_size: int = 10) -> Iterator[float]:
    """Endless send times of a pattern.

    Args:
        pattern: a key of ``ARRIVALS``.
        rate: mean requests per second, above 0.
        seed: the same seed gives the same times.
        burst_size: requests per burst, for ``burst`` alone.
    """
    return ARRIVALS[pattern](rate, random.Random(seed), burst_size)
