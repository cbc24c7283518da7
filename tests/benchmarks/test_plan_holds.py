"""How a benchmark finds where a 99th percentile passes the objective, and what it takes for an effect."""

import math

import pytest

from benchmarks.plan_holds import Held, crossing
from benchmarks.scrape_cost import chance_of

RATES = [100.0, 120.0, 140.0]


@pytest.mark.parametrize(
    ("p99s", "found"),
    [
        ([0.01, 0.04, 0.16], 120.0 + 20 * 0.5),  # 0.08 is half way from 0.04 to 0.16 in its logarithm
        ([0.01, 0.08, 0.16], 120.0),
        ([0.01, 0.02, math.inf], 130.0),
        ([0.10, 0.20, 0.30], 0.0),
        ([0.01, 0.02, 0.03], math.inf),
    ],
)
def test_where_the_objective_is_passed(p99s: list[float], found: float) -> None:
    assert crossing(RATES, p99s, 0.08) == pytest.approx(found)


def test_a_ratio_is_found_over_planned() -> None:
    assert Held("p99", 50.0, 60.0).ratio == pytest.approx(1.2)


def test_seven_of_seven_is_no_coin() -> None:
    assert chance_of(7, 7) == pytest.approx(1 / 128)
    assert chance_of(0, 7) == 1.0
    assert chance_of(6, 7) == pytest.approx(8 / 128)
