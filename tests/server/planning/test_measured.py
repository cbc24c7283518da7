"""Spreads keep their mean at 1 and their shares where they were measured."""

import random
import statistics

import pytest

from server.planning.measured import SHARES, Spread
from tests.server.planning.measured_times import PLAIN, times


def drawn(spread: Spread, count: int = 20_000) -> list[float]:
    source = random.Random(3)
    return sorted(spread.at(source.random()) for _ in range(count))


@pytest.mark.parametrize(
    "spread",
    [Spread(), Spread.lognormal(0.5), Spread.of([3.0, 4.0, 9.0]), Spread.through([0.5, 1.0], [2.0, 5.0])],
    ids=["none", "log-normal", "samples", "percentiles"],
)
def test_what_is_drawn_has_the_mean_that_was_measured(spread: Spread) -> None:
    assert statistics.fmean(drawn(spread)) == pytest.approx(1.0, rel=0.02)
    assert list(spread.factors) == sorted(spread.factors)


def test_a_log_normal_has_its_percentiles() -> None:
    """exp(σz) at the normal's 99 % point over that at its median: z = 2.326."""
    spread = Spread.lognormal(0.3)
    assert spread.at(0.99) / spread.at(0.5) == pytest.approx(2.718281828 ** (0.3 * 2.3263), rel=1e-4)


def test_samples_keep_their_tail() -> None:
    spread = Spread.of([1.0] * 985 + [10.0] * 15)
    assert spread.at(0.99) / spread.at(0.5) == pytest.approx(10.0)


def test_no_spread_is_one_everywhere() -> None:
    assert Spread.lognormal(0.0) == Spread()
    assert {Spread().at(share) for share in (*SHARES, 0.33)} == {1.0}


def test_the_engine_s_share_is_what_is_left() -> None:
    assert PLAIN.infer_s == pytest.approx(0.007)


def test_sizes_between_those_measured_lie_between() -> None:
    assert times({1: 0.01, 4: 0.04}).latency_model().predict(2) == pytest.approx(0.02)


def test_a_spread_with_four_decimals_stays_as_it_is() -> None:
    """A plan stands on another's file: written again, its times are the same."""
    for sigma in (0.1, 0.3, 0.5, 0.7):
        rounded = [round(factor, 4) for factor in Spread.lognormal(sigma).factors]
        assert Spread.through(SHARES, rounded).factors == tuple(rounded)
