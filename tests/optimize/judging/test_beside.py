"""Two models side by side: calibration and mistakes as scikit-learn and the judgement count them."""

import json

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, log_loss

from model_zoo.top_k import activate
from optimize.judging.beside import beside
from optimize.judging.judge import judge
from optimize.judging.predictions import Predictions
from tests.optimize.judging.invented import predictions


def pair() -> tuple[Predictions, Predictions]:
    """The same 300 pictures, answered well and less well."""
    good = predictions(300, 4, skill=3.0)
    noise = np.random.default_rng(1).normal(size=good.logits.shape).astype(np.float32)
    return Predictions(good.logits + noise, good.labels, good.classes, good.identifiers), good


def test_every_change_of_the_confusion_matrix_is_one() -> None:
    this, other = pair()
    found = beside(this, other, seed=1)
    now, before = (confusion_matrix(one.labels, one.logits.argmax(1)) for one in (this, other))
    names = this.classes
    changed = {
        (names[row], names[column]): (before[row, column], now[row, column])
        for row, column in np.argwhere(now != before)
        if row != column
    }
    assert {(one.label, one.predicted): (one.other, one.this) for one in found.confusions} == changed
    sizes = [abs(one.this - one.other) for one in found.confusions]
    assert sizes == sorted(sizes, reverse=True)


def test_calibration_is_the_judgement_s_and_the_log_loss_scikit_learn_s() -> None:
    this, other = pair()
    found = beside(this, other, seed=1)
    for honesty, one in ((found.honesty, this), (found.other_honesty, other)):
        before = judge(one, seed=1).calibration.before
        assert (honesty.ece, honesty.ece_of_perfect) == (before.ece, before.ece_of_perfect)
        rows = activate(one.logits, "softmax").astype(np.float64)
        expected = log_loss(one.labels, rows / rows.sum(axis=1, keepdims=True))
        assert honesty.log_loss.value == pytest.approx(expected, rel=1e-5)


def test_pictures_that_were_right_before_come_first() -> None:
    this, other = pair()
    found = beside(this, other, seed=1)
    assert found.flipped == int((this.logits.argmax(1) != other.logits.argmax(1)).sum())
    was_right = [one.label == one.other for one in found.flips]
    assert was_right == sorted(was_right, reverse=True)
    assert all(one.this != one.other for one in found.flips)


def test_classes_in_another_order_are_the_same_model() -> None:
    this, _ = pair()
    turned = Predictions(this.logits[:, ::-1], 3 - this.labels, this.classes[::-1], this.identifiers)
    found = beside(this, turned, seed=1)
    assert (found.flipped, found.confusions, found.logits[0]) == (0, (), 0.0)
    assert json.loads(json.dumps(found.to_json(), allow_nan=False))["comparison"]["p_mid"] == 1
