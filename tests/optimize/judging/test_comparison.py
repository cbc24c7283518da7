"""Two models on one set: McNemar by hand, the bootstrap by theory, and what can't be compared."""

from dataclasses import replace
from fractions import Fraction
from functools import lru_cache
from math import comb, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, norm, poisson

from optimize.errors import DataError
from optimize.judging.comparison import ALPHA, compare, mcnemar, paired_bootstrap
from optimize.judging.paired_interval import tango
from optimize.judging.predictions import Predictions
from optimize.judging.resolution import (
    FEWEST_EXPECTED,
    Z_POWER,
    pictures_to_settle,
    resolvable_paired,
    resolvable_unpaired,
)
from tests.optimize.judging.invented import named, predictions


def exact_by_hand(b: int, c: int) -> Fraction:
    tail = sum(Fraction(comb(b + c, k), 2 ** (b + c)) for k in range(min(b, c) + 1))
    return min(Fraction(1), 2 * tail)


@given(st.integers(0, 60), st.integers(0, 60))
def test_exact_is_the_binomial_s(b: int, c: int) -> None:
    exact, mid = mcnemar(b, c)
    assert exact == pytest.approx(float(exact_by_hand(b, c)))
    if b + c:
        assert exact == pytest.approx(binomtest(b, b + c).pvalue)
    assert 0 <= mid <= exact + 1e-12


def test_mid_p_is_the_paper_s() -> None:
    """Fagerland and others (2013): exact less the probability of the very split; table of 1 against 7."""
    exact, mid = mcnemar(1, 7)
    assert exact == pytest.approx(2 * (1 + 8) / 256)
    assert mid == pytest.approx(2 * (1 + 8) / 256 - 8 / 256)
    assert mcnemar(4, 4)[1] == pytest.approx(1 - comb(8, 4) / 2**8 / 2)
    assert mcnemar(0, 0) == (1.0, 1.0)


def pair(n: int, only_this: int, only_other: int, both_wrong: int = 0) -> tuple[Predictions, Predictions]:
    """Two classes; which of the two is right on which picture is known."""
    labels = np.zeros(n, np.int64)
    this, other = np.tile([1.0, 0.0], (n, 1)), np.tile([1.0, 0.0], (n, 1))
    other[:only_this] = [0.0, 1.0]
    this[only_this : only_this + only_other] = [0.0, 1.0]
    end = only_this + only_other
    this[end : end + both_wrong] = other[end : end + both_wrong] = [0.0, 1.0]
    return named(this, labels), named(other, labels)


def test_the_table_is_counted() -> None:
    found = compare(*pair(400, 30, 10, both_wrong=40), seed=0)
    assert (found.both_right, found.only_this, found.only_other, found.both_wrong) == (320, 30, 10, 40)
    assert found.difference == pytest.approx(0.05)
    assert (found.top1.value, found.other_top1.value) == pytest.approx((350 / 400, 330 / 400))
    assert found.same_answer == pytest.approx(360 / 400)
    assert "is better than" in found.verdict


def test_the_bootstrap_spreads_as_theory_says() -> None:
    """The variance of a paired difference: (d − δ²) / n."""
    this, other = (one.logits.argmax(axis=1) == 0 for one in pair(500, 40, 20))
    drawn = paired_bootstrap(this, other, seed=0, rounds=4000)
    assert drawn.mean() == pytest.approx(20 / 500, abs=2e-3)
    assert drawn.std() == pytest.approx(sqrt((60 / 500 - (20 / 500) ** 2) / 500), rel=0.05)


def test_equal_models_are_not_told_apart() -> None:
    some = predictions(150, 3)
    found = compare(some, some, seed=0)
    assert (found.difference, found.p_exact, found.p_mid, found.to_settle) == (0, 1, 1, None)
    assert found.ci95 == tango(0, 0, 150)
    assert found.bootstrap95 == (0, 0)
    assert "No difference is shown" in found.verdict


def test_few_disagreements_are_no_certainty() -> None:
    """Two of a hundred: that difference is not shown, so it is not said that such a one would be."""
    found = compare(*pair(100, 2, 0), seed=0)
    assert found.p_mid == pytest.approx(0.25)
    assert found.resolves > found.difference
    assert found.ci95[0] < 0 < found.ci95[1]
    assert "100 pictures resolve about 6.7 points here; to settle this one takes about 39" in found.verdict


def test_few_pictures_are_no_evidence() -> None:
    assert "too few" in compare(*pair(60, 30, 0), seed=0).verdict


def test_classes_are_matched_by_name_whatever_their_order() -> None:
    some = predictions(120, 4)
    order = [2, 0, 3, 1]
    moved = Predictions(
        some.logits[:, order],
        np.argsort(order)[some.labels],
        tuple(some.classes[one] for one in order),
        some.identifiers,
    )
    assert compare(some, moved, seed=0).same_answer == 1


def cranes() -> Predictions:
    """Two classes of one name, as ImageNet has."""
    return replace(predictions(120, 4), classes=("crane", "crane", "heron", "stork"))


def test_classes_of_one_name_are_compared_where_they_stand_alike() -> None:
    assert compare(cranes(), cranes(), seed=0).same_answer == 1


def test_classes_of_one_name_can_t_be_matched_in_another_order() -> None:
    moved = replace(cranes(), classes=("crane", "heron", "stork", "crane"))
    with pytest.raises(DataError, match="several have one name: crane;"):
        compare(cranes(), moved, seed=0)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"classes": ("a", "b", "c")}, "know other classes"),
        ({"identifiers": tuple(map(str, range(30)))}, "not asked about the same pictures"),
        ({"labels": np.arange(30) % 2}, "do not agree on what the pictures show"),
    ],
)
def test_what_can_t_be_compared_is_refused(change: dict[str, object], said: str) -> None:
    some = replace(predictions(30, 3), labels=np.arange(30) % 3)
    with pytest.raises(DataError, match=said):
        compare(some, replace(some, **change), seed=0)  # type: ignore[arg-type]


@given(st.floats(0.01, 0.6), st.integers(200, 100_000))
def test_what_resolves_and_what_settles_are_each_other_s_inverse(disagreeing: float, n: int) -> None:
    smallest = resolvable_paired(disagreeing, n)
    if smallest < disagreeing:  # else so few disagreements show nothing, however they split
        assert pictures_to_settle(smallest, disagreeing) == pytest.approx(n, abs=1.5)


@pytest.mark.parametrize(("share", "n"), [(0.8, 1000), (0.93, 10_000)])
def test_power_is_what_it_says(share: float, n: int) -> None:
    """Simulated: of two models that far apart, four in five pairs of samples show it."""
    difference = resolvable_unpaired(share, n)
    generator = np.random.default_rng(0)
    high, low = share + difference / 2, share - difference / 2
    a, b = generator.binomial(n, high, 4000) / n, generator.binomial(n, low, 4000) / n
    middle = (a + b) / 2
    shown = np.abs(a - b) > 1.96 * np.sqrt(2 * middle * (1 - middle) / n)
    assert shown.mean() == pytest.approx(0.8, abs=0.03)


def test_five_disagreements_are_the_fewest_that_show() -> None:
    shown = [count for count in range(1, 9) if mcnemar(count, 0)[1] < ALPHA]
    assert shown == [5, 6, 7, 8]
    assert poisson.sf(4, FEWEST_EXPECTED) == pytest.approx(norm.cdf(Z_POWER), abs=1e-6)


@pytest.mark.parametrize("n", [100, 1000])
@pytest.mark.parametrize("disagreeing", [0.0, 0.01, 0.02, 0.1, 0.3])
def test_paired_power_is_what_it_says(disagreeing: float, n: int) -> None:
    """Simulated: models that differ by as much are told apart four times in five, few disagreements or many."""
    difference = resolvable_paired(disagreeing, n)
    share = max(disagreeing, difference)
    shares = [(share + difference) / 2, (share - difference) / 2, 1 - share]
    tables = np.random.default_rng(0).multinomial(n, shares, 2000)
    p_values = lru_cache(None)(mcnemar)
    shown = [p_values(int(this), int(other))[1] < ALPHA for this, other, _ in tables]
    assert 0.77 < np.mean(shown) < 0.92
