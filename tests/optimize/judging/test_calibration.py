"""Calibration error and temperature, against formulas and against what was put in."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from optimize.errors import DataError
from optimize.judging.reliability import (
    calibration_error,
    diagram,
    equal_mass,
    equal_width,
    error_of_perfect,
    interval_of_error,
)
from optimize.judging.temperature import cross_fitted, fit_temperature
from tests.optimize.judging.invented import calibrated, named, predictions


def error_by_hand(confidence: np.ndarray, right: np.ndarray, bins: int) -> float:
    """Guo and others' definition, bin by bin."""
    total = 0.0
    for low, high in zip(np.arange(bins) / bins, (np.arange(bins) + 1) / bins, strict=True):
        inside = (confidence > low) & (confidence <= high)
        if inside.any():
            total += inside.sum() / len(confidence) * abs(right[inside].mean() - confidence[inside].mean())
    return total


@given(st.integers(1, 300), st.integers(0, 10_000))
def test_error_is_the_definition_s(n: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    confidence = generator.uniform(0.001, 1, n)
    right = generator.random(n) < 0.7
    assert calibration_error(confidence, right, equal_width(confidence)) == pytest.approx(
        error_by_hand(confidence, right, 15)
    )


@given(st.integers(1, 60), st.integers(0, 50))
def test_an_honest_model_has_no_error(groups: int, extra: int) -> None:
    """In each group of ten, as many are right as the confidence says."""
    tenths = np.random.default_rng(groups * 100 + extra).integers(1, 11, groups)
    confidence = np.repeat(tenths / 10, 10)
    right = np.concatenate([np.arange(10) < tenth for tenth in tenths])
    for places in (equal_width(confidence), equal_mass(confidence)):
        # Bins may hold several confidences, but never part of a group, so each is honest still.
        assert calibration_error(confidence, right, places) == pytest.approx(0, abs=1e-12)


@given(st.integers(1, 200), st.integers(0, 1000))
def test_bins_of_equal_mass_are_of_equal_mass(n: int, seed: int) -> None:
    confidence = np.random.default_rng(seed).permutation(n) / n
    counts = np.bincount(equal_mass(confidence))
    assert counts.max() - counts.min() <= 1


def test_edges_belong_to_the_lower_bin() -> None:
    assert equal_width(np.array([0.0, 0.1, 0.100001, 1.0]), 10).tolist() == [0, 0, 1, 9]


def test_always_sure_and_half_right_is_half_wrong() -> None:
    confidence, right = np.ones(100), np.arange(100) < 50
    assert calibration_error(confidence, right, equal_width(confidence)) == pytest.approx(0.5)
    (one,) = diagram(confidence, right)
    assert (one.n, one.confidence, one.accuracy) == (100, 1.0, 0.5)


def test_a_perfect_model_s_error_is_what_few_pictures_cost() -> None:
    """It shrinks with the root of the pictures: a hundred times more, a tenth."""
    generator = np.random.default_rng(0)
    few, many = (
        error_of_perfect(one, equal_width(one), generator)
        for one in (generator.uniform(0.2, 1, n) for n in (100, 10_000))
    )
    assert few / many == pytest.approx(10, rel=0.2)


def test_the_interval_holds_an_error_of_nothing() -> None:
    assert interval_of_error(0.01, np.random.default_rng(0).uniform(0.02, 0.06, 500)) == pytest.approx(
        (0, 0.029), abs=2e-3
    )


@pytest.mark.parametrize("heat", [0.5, 1.0, 3.0])
def test_temperature_takes_back_what_was_multiplied(heat: float) -> None:
    honest = calibrated(20_000, 4, sharpness=1.5)
    assert fit_temperature(named(honest.logits * heat, honest.labels)) == pytest.approx(heat, rel=0.05)


def test_temperature_is_where_a_general_minimiser_finds_it() -> None:
    some = predictions(400, 6, skill=1.0)

    def loss(parameters: np.ndarray) -> float:
        scaled = some.logits.astype(np.float64) * parameters[0]
        return float(np.mean(np.log(np.exp(scaled).sum(axis=1)) - scaled[np.arange(400), some.labels]))

    found = minimize(loss, [1.0], method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12})
    assert fit_temperature(some) == pytest.approx(1 / found.x[0], rel=1e-4)


def test_a_model_that_is_never_wrong_gets_the_coldest() -> None:
    labels = np.arange(30) % 3
    assert fit_temperature(named(np.eye(3)[labels], labels)) == pytest.approx(0.05, rel=1e-3)


def test_cross_fitting_never_looks_at_the_picture_itself() -> None:
    some = predictions(100, 3)
    logits = some.logits.astype(np.float64)
    before = cross_fitted(logits, some.labels, np.random.default_rng(1))
    changed = some.labels.copy()
    changed[7] = (changed[7] + 1) % 3
    after = cross_fitted(logits, changed, np.random.default_rng(1))
    own_fold = before == before[7]
    assert after[7] == before[7]
    assert not np.isclose(after[~own_fold], before[~own_fold], rtol=1e-12).any()


def test_no_pictures_no_temperature() -> None:
    with pytest.raises(DataError, match="none of the pictures has a label"):
        fit_temperature(named(np.zeros((3, 2)), np.full(3, -1)))
