"""A judgement against scikit-learn, and on sets that lack something."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import (
    average_precision_score,
    balanced_accuracy_score,
    brier_score_loss,
    confusion_matrix,
    f1_score,
    log_loss,
    precision_score,
    roc_auc_score,
    top_k_accuracy_score,
)

from optimize.errors import DataError
from optimize.judging.agreement import wilson
from optimize.judging.judge import judge
from optimize.judging.judgement import Judgement
from optimize.judging.predictions import Predictions
from tests.optimize.judging.invented import named, predictions


def softmax64(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


@pytest.fixture(scope="module")
def some() -> Predictions:
    return predictions(300, 7, skill=1.5)


@pytest.fixture(scope="module")
def judged(some: Predictions) -> Judgement:
    return judge(some, seed=3, rounds=200)


def test_shares_are_scikit_learn_s_with_wilson_s_interval(some: Predictions, judged: Judgement) -> None:
    top1 = top_k_accuracy_score(some.labels, some.logits, k=1)
    assert judged.top1.value == pytest.approx(top1)
    assert judged.top5.value == pytest.approx(top_k_accuracy_score(some.labels, some.logits, k=5))
    assert judged.top1.ci95 == wilson(round(top1 * len(some)), len(some))


def test_averages_are_scikit_learn_s(some: Predictions, judged: Judgement) -> None:
    answers = some.logits.argmax(axis=1)
    for average in ("macro", "weighted"):
        for name, score in (("precision", precision_score), ("f1", f1_score)):
            wanted = score(some.labels, answers, average=average, zero_division=0)
            assert judged.figures[f"{average}_{name}"].value == pytest.approx(wanted)
    assert judged.figures["macro_recall"].value == pytest.approx(balanced_accuracy_score(some.labels, answers))
    assert np.array_equal(judged.confusion_matrix(), confusion_matrix(some.labels, answers))


def test_areas_are_scikit_learn_s(some: Predictions, judged: Judgement) -> None:
    rows = softmax64(some.logits)
    one_hot = np.eye(7)[some.labels]
    assert judged.figures["macro_auc"].value == pytest.approx(roc_auc_score(some.labels, rows, multi_class="ovr"))
    wanted = average_precision_score(one_hot, rows, average=None)
    assert [one.average_precision for one in judged.by_class] == pytest.approx(list(wanted))


def test_losses_are_scikit_learn_s(some: Predictions, judged: Judgement) -> None:
    rows = softmax64(some.logits)
    before = judged.calibration.before
    assert before.log_loss.value == pytest.approx(log_loss(some.labels, rows))
    # scikit-learn halves the multiclass score unless told not to.
    assert before.brier.value == pytest.approx(brier_score_loss(some.labels, rows, scale_by_half=False))


def test_every_scalar_has_an_interval_that_holds_it(judged: Judgement) -> None:
    reliability = judged.calibration.before
    figures = [*judged.figures.values(), reliability.ece, reliability.ece_mass, reliability.log_loss, reliability.brier]
    for figure in figures:
        assert figure.ci95 is not None
        assert figure.bootstrap95 is not None
        assert figure.ci95[0] <= figure.value <= figure.ci95[1]
        assert figure.bootstrap95[0] <= figure.value <= figure.bootstrap95[1]


def test_worst_mistakes_come_first(some: Predictions, judged: Judgement) -> None:
    rows = softmax64(some.logits)
    wrong = np.flatnonzero(some.logits.argmax(axis=1) != some.labels)
    least = wrong[rows[wrong, some.labels[wrong]].argmin()]
    assert judged.mistakes[0].index == least
    assert judged.mistakes[0].identifier == f"{least}.jpg"
    losses = [one.loss for one in judged.mistakes]
    assert losses == sorted(losses, reverse=True)


def test_the_most_confused_pair_is_the_largest_cell_off_the_diagonal(judged: Judgement) -> None:
    matrix = judged.confusion_matrix()
    np.fill_diagonal(matrix, 0)
    first = judged.confused[0]
    assert first.count == matrix.max() == matrix[first.label, first.predicted]


def test_json_gives_the_same_judgement_back(judged: Judgement) -> None:
    text = json.dumps(judged.to_json(), allow_nan=False)
    assert Judgement.from_json(json.loads(text)) == judged
    with pytest.raises(DataError, match="not a judgement"):
        Judgement.from_json({"n": 3})


def test_a_class_without_pictures_is_left_out_of_averages() -> None:
    whole = predictions(200, 4)
    kept = whole.chosen(np.flatnonzero(whole.labels != 2))
    judged = judge(kept, seed=0, rounds=50)
    absent = judged.by_class[2]
    assert (absent.n, absent.recall, absent.f1, absent.auc, absent.average_precision) == (0, None, None, None, None)
    recalls = [one.recall for one in judged.by_class if one.recall is not None]
    assert judged.figures["macro_recall"].value == pytest.approx(np.mean(recalls))
    assert {curve.name for curve in judged.roc} == {"macro", "class 0", "class 1", "class 3"}


def test_one_class_alone_has_no_ranking() -> None:
    judged = judge(named(np.random.default_rng(0).normal(size=(30, 3)), np.zeros(30, np.int64)), seed=0, rounds=50)
    assert "macro_auc" not in judged.figures
    assert judged.roc == judged.precision_recall == ()


def test_a_class_whose_surest_answers_are_wrong_does_not_begin_at_full_precision() -> None:
    rising = np.arange(20, dtype=np.float64)
    judged = judge(named(np.stack([rising, -rising], axis=1), (rising >= 10).astype(np.int64)), seed=0, rounds=50)
    for curve in judged.precision_recall:
        assert (curve.x[0], curve.y[0]) == (0, 0), curve.name
        assert (curve.x[-1], curve.y[-1]) == (1, 0.5), curve.name


def test_pictures_without_a_label_are_left_out_and_places_kept() -> None:
    whole = predictions(120, 4)
    labels = whole.labels.copy()
    labels[::2] = -1
    judged = judge(replace(whole, labels=labels), seed=0, rounds=50)
    assert judged.n == 60
    assert all(one.index % 2 == 1 and one.identifier == f"{one.index}.jpg" for one in judged.mistakes)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda one: replace(one, labels=np.full(len(one), -1)), "none of the pictures has a label"),
        (lambda one: replace(one, labels=np.full(len(one), 5)), "label 5 is beyond the 5 classes"),
        (lambda one: replace(one, logits=np.full_like(one.logits, np.nan)), "0.jpg is not a number"),
    ],
)
def test_what_can_t_be_judged_is_refused(change: object, said: str) -> None:
    assert callable(change)
    with pytest.raises(DataError, match=said):
        judge(change(predictions(20, 5)), seed=0)


def test_a_temperature_from_elsewhere_is_used_as_it_is() -> None:
    some = predictions(100, 4)
    halved = judge(some, seed=0, temperature=2.0, rounds=50).calibration
    rows = softmax64(some.logits / 2)
    assert halved.temperature == 2.0
    assert halved.fitted_on == "other pictures"
    assert halved.after.log_loss.value == pytest.approx(log_loss(some.labels, rows))


@settings(max_examples=25)
@given(n=st.integers(1, 40), classes=st.integers(1, 6), seed=st.integers(0, 1000), stratified=st.booleans())
def test_any_set_can_be_judged(n: int, classes: int, seed: int, stratified: bool) -> None:
    """However few pictures and classes: no warning, no NaN, and shares are shares."""
    judged = judge(predictions(n, classes, seed=seed), seed=seed, stratified=stratified, rounds=20)
    assert json.dumps(judged.to_json(), allow_nan=False)
    assert sum(count for _, _, count in judged.confusion) == n
    assert 0 <= judged.top1.value <= judged.top5.value <= 1
    assert sum(one.n for one in judged.calibration.before.bins) == n


def test_a_seed_gives_the_same_judgement_again() -> None:
    some = predictions(60, 3)
    assert judge(some, seed=5, rounds=30) == judge(some, seed=5, rounds=30)
