"""The order of an epoch, and the weights of classes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_class_weight

from optimize.data.order import class_weights, epoch_order

LABELS = st.lists(st.integers(-1, 4), min_size=1, max_size=60).map(lambda rows: np.array(rows, np.int64))


@given(LABELS, st.integers(0, 9), st.integers(0, 5))
def test_shuffling_takes_every_picture_once(labels: np.ndarray, seed: int, epoch: int) -> None:
    order = epoch_order(labels, seed, epoch)
    assert sorted(order.tolist()) == list(range(len(labels)))


@given(LABELS, st.integers(0, 9), st.integers(0, 5), st.integers(1, 4))
def test_balanced_epochs_draw_each_class_equally_often(labels: np.ndarray, seed: int, epoch: int, repeats: int) -> None:
    order = epoch_order(labels, seed, epoch, sample="balanced", repeats=repeats)
    assert len(order) == len(labels)
    distinct = order[::repeats]
    drawn = [int((labels[distinct] == label).sum()) for label in np.unique(labels[labels >= 0])]
    assert not drawn or max(drawn) - min(drawn) <= 1
    assert int((labels[distinct] < 0).sum()) == pytest.approx(len(distinct) * (labels < 0).mean(), abs=0.5)
    for label in np.unique(labels):
        times = np.bincount(distinct[labels[distinct] == label], minlength=len(labels))[labels == label]
        assert times.max() - times.min() <= 1


@given(LABELS, st.integers(0, 9), st.integers(0, 3), st.integers(1, 5))
def test_as_many_epochs_as_repeats_see_every_picture(labels: np.ndarray, seed: int, cycle: int, repeats: int) -> None:
    epochs = [epoch_order(labels, seed, cycle * repeats + part, repeats=repeats) for part in range(repeats)]
    assert all(len(order) == len(labels) for order in epochs)
    assert set(np.concatenate([order[::repeats] for order in epochs]).tolist()) == set(range(len(labels)))


def test_repeats_lie_side_by_side() -> None:
    order = epoch_order(np.zeros(12, np.int64), 1, 0, repeats=3)
    np.testing.assert_array_equal(order.reshape(4, 3), np.repeat(order[::3, None], 3, axis=1))


@pytest.mark.parametrize("sample", ["shuffle", "balanced"])
def test_seed_and_epoch_alone_decide(sample: str) -> None:
    labels = np.arange(200) % 3
    same = [epoch_order(labels, 5, 2, sample=sample).tolist() for _ in range(2)]
    assert same[0] == same[1]
    assert same[0] != epoch_order(labels, 5, 3, sample=sample).tolist()
    assert same[0] != epoch_order(labels, 6, 2, sample=sample).tolist()


@given(st.lists(st.integers(0, 4), min_size=1, max_size=50))
def test_class_weights_are_those_of_scikit_learn(rows: list[int]) -> None:
    labels = np.array(rows)
    present = np.unique(labels)
    weights = class_weights(labels, 5)
    np.testing.assert_allclose(weights[present], compute_class_weight("balanced", classes=present, y=labels))
    assert weights[np.setdiff1d(np.arange(5), present)].sum() == 0
    assert weights[labels].mean() == pytest.approx(1)


def test_pictures_without_a_label_have_no_part_in_the_weights() -> None:
    np.testing.assert_allclose(class_weights(np.array([0, 0, 1, -1]), 2), [0.75, 1.5])
