"""The bootstrap's weights, and the resampled figures against scikit-learn's weighted ones."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, precision_recall_fscore_support, roc_auc_score

from optimize.judging.bootstrap import bootstrap, draws, interval
from optimize.judging.class_figures import resampled_averages
from optimize.judging.ranking import resampled_areas, rounds_within_reason
from optimize.judging.reliability import calibration_error, equal_width, resampled_error


@given(st.integers(1, 300), st.integers(1, 40), st.integers(0, 99))
def test_each_draw_takes_as_many_as_there_are(n: int, rounds: int, seed: int) -> None:
    weights = np.concatenate(list(draws(n, rounds, np.random.default_rng(seed))))
    assert weights.shape == (rounds, n)
    assert (weights.sum(axis=1) == n).all()
    assert (weights == weights.round()).all()


@given(st.lists(st.integers(0, 4), min_size=1, max_size=80), st.integers(0, 99))
def test_a_stratified_draw_keeps_each_class_s_size(groups: list[int], seed: int) -> None:
    labels = np.array(groups)
    for weights in draws(len(labels), 7, np.random.default_rng(seed), labels):
        for one in set(groups):
            assert (weights[:, labels == one].sum(axis=1) == groups.count(one)).all()


def test_a_stratified_draw_counts_the_block_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many groups there are: once for each would take minutes of a thousand classes."""
    counted: list[int] = []
    bincount = np.bincount

    def counting(places: np.ndarray, minlength: int) -> np.ndarray:
        counted.append(len(places))
        return bincount(places, minlength=minlength)

    monkeypatch.setattr(np, "bincount", counting)
    (weights,) = draws(300, 5, np.random.default_rng(0), np.arange(300) % 100)
    assert counted == [5 * 300]
    assert weights.dtype == np.float64


def test_the_spread_of_a_mean_is_the_textbook_s() -> None:
    values = np.random.default_rng(0).exponential(size=400)
    drawn = bootstrap(lambda weights: (weights @ values / 400)[:, None], 400, np.random.default_rng(1), rounds=4000)
    assert drawn.std() == pytest.approx(values.std() / 20, rel=0.05)
    found = interval(drawn[:, 0])
    assert found is not None
    assert found == pytest.approx(
        (values.mean() - 1.96 * values.std() / 20, values.mean() + 1.96 * values.std() / 20), rel=0.03
    )


def test_a_figure_that_draws_rarely_give_has_no_interval() -> None:
    assert interval(np.array([np.nan] * 80 + [0.5] * 20)) is None


@settings(max_examples=30)
@given(st.integers(0, 10_000))
def test_resampled_figures_are_scikit_learn_s_of_weighted_pictures(seed: int) -> None:
    """Ties included: probabilities are rounded so that many are equal."""
    generator = np.random.default_rng(seed)
    n, classes = 60, 3
    labels = np.concatenate([np.arange(classes), generator.integers(0, classes, n - classes)])
    rows = generator.dirichlet(np.ones(classes), n).round(1)
    weights = generator.integers(1, 4, (2, n)).astype(np.float64)
    got_areas = resampled_areas(rows, labels)(weights)
    got_averages = resampled_averages(labels, rows.argmax(axis=1), classes)(weights)
    for row, each in enumerate(weights):
        one_hot = labels[:, None] == np.arange(classes)
        wanted = [
            np.mean([score(one_hot[:, one], rows[:, one], sample_weight=each) for one in range(classes)])
            for score in (roc_auc_score, average_precision_score)
        ]
        assert got_areas[row] == pytest.approx(wanted)
        wanted = []
        for average in ("macro", "weighted"):
            wanted += precision_recall_fscore_support(
                labels, rows.argmax(axis=1), average=average, zero_division=0, sample_weight=each
            )[:3]
        assert got_averages[row] == pytest.approx(wanted)


def test_a_resampled_calibration_error_is_that_of_repeated_pictures() -> None:
    generator = np.random.default_rng(0)
    confidence, right = generator.uniform(0.3, 1, 50), generator.random(50) < 0.6
    weights = generator.integers(0, 3, (3, 50))
    got = resampled_error(confidence, right, equal_width(confidence))(weights.astype(np.float64))[:, 0]
    for row, each in enumerate(weights):
        repeated = np.repeat(np.arange(50), each)
        wanted = calibration_error(confidence[repeated], right[repeated], equal_width(confidence[repeated]))
        assert got[row] == pytest.approx(wanted)


def test_draws_that_would_take_minutes_are_left_out() -> None:
    assert rounds_within_reason(341, 10, 1000) == 1000
    assert 200 <= rounds_within_reason(10_000, 60, 1000) < 1000
    assert rounds_within_reason(50_000, 1000, 1000) == 0
