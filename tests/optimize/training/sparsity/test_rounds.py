"""The cubic schedule, against the paper's formula."""

import pytest

from optimize.training.sparsity.options import SparsityOptions
from optimize.training.sparsity.rounds import Rounds


@pytest.mark.parametrize(("start", "end"), [(0.0, 0.9), (0.3, 0.5), (0.5, 0.5)])
def test_the_share_is_the_paper_s_and_ends_where_it_should(start: float, end: float) -> None:
    rounds = Rounds.of(SparsityOptions(begin=0.1, end=0.6, rounds=10), updates=201)
    assert (rounds.first, rounds.last) == (20, 120)
    for update in range(20, 121):
        expected = end + (start - end) * (1 - (update - 20) / 100) ** 3
        assert rounds.share(update, start, end) == pytest.approx(expected, abs=1e-12)
    assert rounds.share(20, start, end) == start
    assert rounds.share(120, start, end) == rounds.share(200, start, end) == end


@pytest.mark.parametrize("updates", [1, 2, 7, 50, 1000])
@pytest.mark.parametrize(("begin", "end"), [(0.0, 0.7), (0.2, 1.0), (0.5, 0.5), (0.0, 0.0), (1.0, 1.0)])
def test_the_last_round_is_in_every_run_and_none_is_outside(updates: int, begin: float, end: float) -> None:
    rounds = Rounds.of(SparsityOptions(begin=begin, end=end, rounds=10), updates)
    chosen = [update for update in range(updates) if rounds.has(update)]
    assert chosen[-1] == rounds.last <= updates - 1
    assert chosen[0] == rounds.first
    assert len(chosen) <= 21
    shares = [rounds.share(update, 0.0, 0.8) for update in chosen]
    assert shares == sorted(shares)
    assert shares[-1] == 0.8


def test_there_are_about_as_many_rounds_as_are_asked_for() -> None:
    rounds = Rounds.of(SparsityOptions(rounds=50), updates=10_001)
    assert sum(map(rounds.has, range(10_001))) == 51
