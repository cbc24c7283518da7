"""Thresholds for "unknown": what is promised holds on pictures that were never seen, and clear words where it can't."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import binomtest

from model_zoo.top_k import activate
from optimize.errors import DataError
from optimize.judging.abstain import abstained, best_scores, choose, fewest
from optimize.judging.agreement import wilson
from optimize.judging.predictions import Predictions
from optimize.judging.threshold import Promise, Threshold, Wanted
from tests.optimize.judging.invented import calibrated, named

TRIALS = 200


def promised(promise: Promise, limit: float, n: int, value: Callable[[Threshold], float]) -> int:
    """In how many of ``TRIALS`` the promise is broken on the whole distribution; nearly all find a threshold."""
    broken = refused = 0
    for seed in range(TRIALS):
        try:
            found = choose(calibrated(n, 4, sharpness=3, seed=seed), "softmax", Wanted(promise, limit), seed=seed)
        except DataError:
            refused += 1
            continue
        broken += value(found) > limit
    assert refused <= TRIALS / 10
    return broken


@pytest.mark.parametrize(("limit", "n"), [(0.1, 400), (0.05, 2000)])
def test_wrong_answers_stay_within_the_promise_19_times_in_20(limit: float, n: int) -> None:
    """Of a model with these very probabilities, the error above a threshold is the mean of what they leave."""
    everything = calibrated(100_000, 4, sharpness=3, seed=-1 % 2**31)
    scores = best_scores(everything, "softmax").astype(np.float64)
    broken = promised("max_error", limit, n, lambda found: float(1 - scores[scores >= found.value].mean()))
    assert broken <= 19, "10 are expected at most; more than 19 would come once in 300 times"


@pytest.mark.parametrize(("limit", "n"), [(0.1, 100), (0.3, 50)])
def test_unknown_pictures_stay_within_the_promise_19_times_in_20(limit: float, n: int) -> None:
    scores = best_scores(calibrated(100_000, 4, sharpness=3, seed=77), "softmax")
    assert promised("max_unknown", limit, n, lambda found: float((scores < found.value).mean())) <= 19


@pytest.mark.parametrize(("n", "limit", "sure", "unsure"), [(1200, 0.05, 0.01, 0.04), (10_000, 0.01, 0.003, 0.05)])
def test_a_mistake_among_the_surest_does_not_end_it(n: int, limit: float, sure: float, unsure: float) -> None:
    """Four fifths of the pictures are wrong with probability ``sure``, the least sure with ``unsure``."""
    for seed in range(20):
        generator = np.random.default_rng(seed)
        scores = generator.uniform(0.5, 1, n)
        right = generator.random(n) >= np.where(scores < 0.6, unsure, sure)
        logits = np.stack([np.log(scores / (1 - scores)), np.zeros(n)], axis=1)
        found = choose(named(logits, np.where(right, 0, 1)), "softmax", Wanted("max_error", limit), seed=1)
        assert found.answered > 0.6


def test_the_promise_is_not_bought_by_answering_hardly_anything() -> None:
    """Of 4,000 pictures, close to what would be answered if all were known."""
    everything = calibrated(100_000, 4, sharpness=3, seed=5)
    scores = np.sort(best_scores(everything, "softmax").astype(np.float64))[::-1]
    error = 1 - np.cumsum(scores) / np.arange(1, len(scores) + 1)
    best = float((error <= 0.05).mean())
    found = choose(calibrated(4000, 4, sharpness=3, seed=6), "softmax", Wanted("max_error", 0.05), seed=1)
    assert best - 0.15 < found.answered <= best + 0.02
    assert choose(everything, "softmax", Wanted("max_unknown", 0.2), seed=1).answered == pytest.approx(0.8, abs=0.01)


def test_what_is_told_is_what_the_threshold_does() -> None:
    pictures = calibrated(500, 4, sharpness=3)
    found = choose(pictures, "softmax", Wanted("max_error", 0.1), seed=1)
    scores = activate(pictures.logits, "softmax").max(axis=1)
    answered = scores >= found.value
    wrong = int((pictures.logits.argmax(axis=1) != pictures.labels)[answered].sum())
    assert (found.n, found.answered, found.error) == (500, answered.mean(), pytest.approx(wrong / answered.sum()))
    high = binomtest(wrong, int(answered.sum())).proportion_ci(0.90, "exact").high
    assert high <= 0.1, "Clopper and Pearson's one-sided bound at 95 %"
    told = abstained(pictures, "softmax", found.value)
    assert (told.answered, told.error) == (found.answered, found.error)
    assert told.error_ci95 == wilson(wrong, int(answered.sum()))
    assert "at most 10 % of the answers given are wrong" in found.says


def test_a_model_that_keeps_the_promise_anyway_answers_everything() -> None:
    logits = np.tile(np.array([[3.0, 0.0]]), (100, 1)) * np.linspace(1, 2, 100)[:, None]
    found = choose(named(logits, np.zeros(100, np.int64)), "softmax", Wanted("max_error", 0.05), seed=1)
    assert (found.value, found.answered, found.error) == (0.0, 1.0, 0.0)


def test_equal_scores_are_answered_all_or_none() -> None:
    """A saturated network: 60 sure and right, 60 unsure and mostly wrong."""
    logits = np.array([[60.0, 0.0]] * 60 + [[0.1, 0.0]] * 60)
    labels = np.array([0] * 60 + [1] * 50 + [0] * 10)
    found = choose(named(logits, labels), "softmax", Wanted("max_error", 0.1), seed=1)
    assert (found.answered, found.error) == (0.5, 0.0)
    assert best_scores(named(logits, labels), "softmax")[60] < found.value <= 1
    unknown = choose(named(logits, labels), "softmax", Wanted("max_unknown", 0.5), seed=1)
    assert unknown.answered == 1.0, "not one of the equal ones may be unknown without the others"


def test_without_labels_only_what_needs_none_is_promised() -> None:
    pictures = calibrated(300, 4, sharpness=3)
    blank = Predictions(pictures.logits, np.full(300, -1), pictures.classes, pictures.identifiers)
    found = choose(blank, "softmax", Wanted("max_unknown", 0.1), seed=1)
    assert found.error is None
    assert "wrong" not in found.says
    with pytest.raises(DataError, match="0 labelled pictures"):
        choose(blank, "softmax", Wanted("max_error", 0.1), seed=1)


@pytest.mark.parametrize("limit", [0.01, 0.05, 0.2])
def test_fewer_pictures_than_a_promise_takes_are_refused_with_their_number(limit: float) -> None:
    """``fewest`` without a mistake is the least for which an error at the limit would be unlikely."""
    levels: dict[Promise, float] = {"max_error": 0.01, "max_unknown": 0.05}
    for kind, level in levels.items():
        least = fewest(Wanted(kind, limit))
        assert (1 - limit) ** least <= level * (1 + 1e-9) < (1 - limit) ** (least - 1)
        perfect = named(np.stack([np.linspace(1, 5, least), np.zeros(least)], axis=1), np.zeros(least, np.int64))
        choose(perfect, "softmax", Wanted(kind, limit), seed=1)
        with pytest.raises(DataError, match=f"{least} are the least"):
            choose(perfect.chosen(np.arange(least - 1)), "softmax", Wanted(kind, limit), seed=1)


def test_a_model_that_is_sure_and_wrong_gets_none() -> None:
    logits = np.array([[5.0, 0.0]] * 100) * np.linspace(1, 2, 100)[:, None]
    with pytest.raises(DataError, match="no threshold found that promises at most 5 %"):
        choose(named(logits, np.arange(100) % 2), "softmax", Wanted("max_error", 0.05), seed=1)


def test_what_is_no_score_is_refused() -> None:
    pictures = calibrated(100, 4, sharpness=3)
    with pytest.raises(DataError, match="activation none"):
        choose(pictures, "none", Wanted("max_error", 0.1), seed=1)
    broken = Predictions(pictures.logits * np.nan, pictures.labels, pictures.classes, pictures.identifiers)
    with pytest.raises(DataError, match="not numbers"):
        choose(broken, "softmax", Wanted("max_unknown", 0.1), seed=1)
    assert choose(pictures, "sigmoid", Wanted("max_unknown", 0.1), seed=1).value < 1
