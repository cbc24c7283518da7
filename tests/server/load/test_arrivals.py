import math
from itertools import islice, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.load.arrivals import ARRIVALS, arrivals

N = 20_000
RATE = 250.0


def times(pattern: str, count: int = N, *, rate: float = RATE, seed: int = 1, burst_size: int = 10) -> list[float]:
    return list(islice(arrivals(pattern, rate, seed, burst_size), count))


def gaps(sent: list[float]) -> list[float]:
    return [after - before for before, after in pairwise([0.0, *sent])]


@pytest.mark.parametrize("pattern", ARRIVALS)
def test_every_pattern_ascends_at_the_rate_asked(pattern: str) -> None:
    sent = times(pattern)
    assert all(before <= after for before, after in pairwise(sent))
    # the count until a moment, over it: within five standard deviations of Poisson's, the loosest of the three
    assert N / sent[-1] == pytest.approx(RATE, rel=5 / math.sqrt(N))


@pytest.mark.parametrize("pattern", ARRIVALS)
def test_the_seed_decides_everything(pattern: str) -> None:
    assert times(pattern, 100, seed=7) == times(pattern, 100, seed=7)


def test_another_seed_sends_at_other_times() -> None:
    assert times("poisson", 100, seed=7) != times("poisson", 100, seed=8)


def test_poisson_gaps_are_exponential() -> None:
    """Kolmogorov–Smirnov against 1 − exp(−rate·t): at 1.95/√n a true one fails once in a thousand seeds."""
    ordered = sorted(gaps(times("poisson")))
    expected = [-math.expm1(-RATE * gap) for gap in ordered]
    distance = max(
        max((rank + 1) / N - probability, probability - rank / N) for rank, probability in enumerate(expected)
    )
    assert distance < 1.95 / math.sqrt(N)


def test_poisson_gaps_have_mean_and_deviation_of_one_over_rate() -> None:
    found = gaps(times("poisson"))
    mean = math.fsum(found) / N
    deviation = math.sqrt(math.fsum((gap - mean) ** 2 for gap in found) / (N - 1))
    assert mean * RATE == pytest.approx(1.0, abs=5 / math.sqrt(N))
    assert deviation * RATE == pytest.approx(1.0, abs=5 * math.sqrt(2 / N))  # var of s² is 8σ⁴/n: of s, 2σ²/n


def test_poisson_counts_per_second_vary_as_much_as_their_mean() -> None:
    sent = times("poisson")
    seconds = int(sent[-1])
    counts = [0] * seconds
    for at in sent:
        if at < seconds:
            counts[int(at)] += 1
    mean = sum(counts) / seconds
    variance = sum((count - mean) ** 2 for count in counts) / (seconds - 1)
    assert variance / mean == pytest.approx(1.0, abs=5 * math.sqrt(2 / seconds))


def test_poisson_gaps_do_not_remember() -> None:
    found = gaps(times("poisson"))
    mean = math.fsum(found) / N
    centred = [gap - mean for gap in found]
    correlation = sum(a * b for a, b in pairwise(centred)) / sum(value * value for value in centred)
    assert abs(correlation) < 5 / math.sqrt(N)


@given(st.floats(0.01, 1e5), st.integers(1, 500))
def test_constant_is_a_metronome_without_drift(rate: float, count: int) -> None:
    sent = times("constant", count, rate=rate)
    assert sent[-1] == count / rate
    assert all(gap == pytest.approx(1 / rate, rel=1e-9) for gap in gaps(sent))


@given(st.floats(0.01, 1e5), st.integers(1, 50), st.integers(1, 20))
def test_bursts_come_together_and_evenly(rate: float, burst_size: int, bursts: int) -> None:
    sent = times("burst", burst_size * bursts, rate=rate, burst_size=burst_size)
    instants = sorted(set(sent))
    assert [sent.count(instant) for instant in instants] == [burst_size] * bursts
    assert instants == [(number + 1) * burst_size / rate for number in range(bursts)]
