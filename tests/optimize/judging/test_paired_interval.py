"""Tango's interval: published values, the likelihood by a general minimiser, and how often it holds the truth."""

from functools import lru_cache
from math import log, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from optimize.judging.agreement import Z95
from optimize.judging.paired_interval import tango

tables = st.tuples(st.integers(0, 40), st.integers(0, 40), st.integers(0, 400)).filter(any)


@pytest.mark.parametrize(
    ("only_this", "only_other", "n", "wanted"),
    [
        (1, 7, 21, (-0.517, -0.026)),  # Fagerland, Lydersen and Laake (2014), airway reactivity
        (7, 0, 14, (0.177, 0.732)),  # R's PropCIs 0.3, scoreci.mp(0, 7, 14)
    ],
)
def test_it_is_what_others_compute(only_this: int, only_other: int, n: int, wanted: tuple[float, float]) -> None:
    assert tango(only_this, only_other, n) == pytest.approx(wanted, abs=6e-4)


@pytest.mark.parametrize("n", [1, 30, 100, 10_000])
def test_without_a_disagreement_it_has_a_width(n: int) -> None:
    """By hand: |δ| = z² (1 − |δ|) / n; the width of Wilson's interval of 0 of n."""
    assert tango(0, 0, n) == pytest.approx((-(Z95**2) / (n + Z95**2), Z95**2 / (n + Z95**2)))


def statistic(only_this: int, only_other: int, n: int, difference: float) -> float:
    """The score statistic, the likelihood of both shares maximised by search."""

    def unlikelihood(other: float) -> float:
        this = other + difference
        parts = ((only_this, this), (only_other, other), (n - only_this - only_other, 1 - this - other))
        return -sum(count * log(max(share, 1e-300)) for count, share in parts if count)

    bounds = (max(0.0, -difference), (1 - difference) / 2)
    other = minimize_scalar(unlikelihood, bounds=bounds, method="bounded", options={"xatol": 1e-12}).x
    variance = 2 * other + difference - difference**2
    return float((only_this - only_other - n * difference) / sqrt(n * variance))


@pytest.mark.parametrize("table", [(3, 1, 60), (12, 2, 50), (30, 10, 400), (5, 5, 100), (25, 28, 618)])
def test_its_edges_are_where_the_score_test_is_at_5_percent(table: tuple[int, int, int]) -> None:
    low, high = tango(*table)
    assert statistic(*table, low) == pytest.approx(Z95, abs=1e-4)
    assert statistic(*table, high) == pytest.approx(-Z95, abs=1e-4)


@given(tables)
def test_it_holds_what_was_seen_and_knows_no_sides(table: tuple[int, int, int]) -> None:
    (only_this, only_other, _), n = table, sum(table)
    low, high = tango(only_this, only_other, n)
    assert -1 <= low <= (only_this - only_other) / n <= high <= 1
    assert high - low > 0
    assert tango(only_other, only_this, n) == pytest.approx((-high, -low), abs=1e-12)


@pytest.mark.parametrize("n", [100, 400])
@pytest.mark.parametrize(
    ("only_this", "only_other"), [(0.0, 0.0), (0.01, 0.0), (0.02, 0.0), (0.02, 0.01), (0.05, 0.05), (0.1, 0.02)]
)
def test_it_holds_the_truth_nineteen_times_in_twenty(only_this: float, only_other: float, n: int) -> None:
    """A bootstrap's holds it 64 times in a hundred where one picture in a hundred makes the difference."""
    found = lru_cache(None)(tango)
    drawn = np.random.default_rng(0).multinomial(n, [only_this, only_other, 1 - only_this - only_other], 4000)
    intervals = [found(int(this), int(other), n) for this, other, _ in drawn]
    truth = only_this - only_other
    assert np.mean([low <= truth <= high for low, high in intervals]) > 0.92


@pytest.mark.parametrize("table", [(-1, 0, 3), (2, 2, 3), (0, 0, 0)])
def test_what_is_no_table_is_refused(table: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="no disagreements"):
        tango(*table)
