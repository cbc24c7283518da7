"""The guard's rule, against hand-made answers."""

import numpy as np
import pytest

from optimize.candidates.judged import paired, verdict
from optimize.candidates.recipe import Budget
from optimize.candidates.result import Paired
from optimize.judging.predictions import Predictions


def answers(right: int, n: int, *, first_wrong: bool = False) -> Predictions:
    """``right`` of n pictures of class 0 are right: the first ones, or the last."""
    good = np.arange(n) < right if not first_wrong else np.arange(n) >= n - right
    logits = np.stack([good, ~good], axis=1).astype(np.float32)
    return Predictions(logits, np.zeros(n, np.int64), ("a", "b"), tuple(map(str, range(n))))


def found(candidate: int, parent: int, n: int) -> Paired:
    return paired(answers(candidate, n), answers(parent, n), seed=1)


def test_points_are_of_a_hundred_and_what_is_won_is_below_zero() -> None:
    lost, won = found(170, 180, 200), found(180, 170, 200)
    assert lost.drop == pytest.approx(5.0)
    assert won.drop == pytest.approx(-5.0)
    assert lost.ci95[0] < 5 < lost.ci95[1]
    assert lost.ci95 == pytest.approx((-won.ci95[1], -won.ci95[0]))
    assert lost.same_answer == pytest.approx(0.95)


def test_no_disagreement_is_no_drop_without_a_sign() -> None:
    one = found(150, 150, 200)
    assert (one.drop, str(one.drop)) == (0.0, "0.0")
    assert "loses nothing" in verdict(one, Budget()).says


@pytest.mark.parametrize(
    ("max_drop", "strict", "passes"),
    [(5.0, False, True), (4.9, False, False), (5.0, True, False), (20.0, True, True), (0.0, False, False)],
)
def test_the_budget_bounds_the_drop_and_strictly_its_bad_end(max_drop: float, strict: bool, passes: bool) -> None:
    assert verdict(found(170, 180, 200), Budget(max_drop=max_drop, strict=strict)).passes is passes


def test_a_gain_passes_a_budget_of_nothing() -> None:
    assert verdict(found(180, 170, 200), Budget(max_drop=0.0)).passes


def test_fewer_than_a_hundred_pictures_are_no_evidence() -> None:
    few, many = verdict(found(50, 50, 99), Budget()), verdict(found(50, 50, 100), Budget())
    assert (few.is_evidence, many.is_evidence) == (False, True)
    assert "no evidence" in few.says
    assert "no evidence" not in many.says
    assert "show drops of" in many.says


def test_it_says_how_many_pictures_would_settle_whether_the_budget_is_kept() -> None:
    """27 lost and 18 won of 1,000, one point allowed: a tenth of a point below the budget takes many."""
    logits = np.zeros((1000, 2), np.float32)
    mine, theirs = logits.copy(), logits.copy()
    mine[:, 0] = theirs[:, 0] = 1
    mine[:27, 1] = theirs[27:45, 1] = 2
    names = tuple(map(str, range(1000)))
    one, other = (Predictions(rows, np.zeros(1000, np.int64), ("a", "b"), names) for rows in (mine, theirs))
    found = paired(one, other, seed=1)
    assert (found.drop, found.disagreeing) == (0.9, 0.045)
    assert found.ci95[0] < 1 < found.ci95[1]
    # z² d / δ² with z = 1.96 + 0.84: 7.85 · 0.045 / 0.001²
    assert "about 353," in verdict(found, Budget()).says
    assert "to settle" not in verdict(found, Budget(max_drop=20.0)).says


def test_a_drop_of_exactly_the_budget_is_within() -> None:
    for lost, n, budget in ((7, 200, 3.5), (7, 500, 1.4), (14, 500, 2.8)):
        assert found(n - lost, n, n).drop == budget
        assert verdict(found(n - lost, n, n), Budget(max_drop=budget)).passes
