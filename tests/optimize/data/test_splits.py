"""Stratified splits and folds."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedKFold, StratifiedShuffleSplit

from optimize.data.splits import content_groups, k_folds, stratified_split
from optimize.errors import DataError

LABELS = st.lists(st.integers(0, 4), min_size=4, max_size=80).map(lambda rows: np.array(rows, np.int64))


def counts(labels: np.ndarray, places: np.ndarray) -> np.ndarray:
    return np.bincount(labels[places], minlength=5)


@given(LABELS, st.floats(0.05, 0.5), st.integers(0, 9))
def test_every_class_of_two_has_some_on_both_sides(labels: np.ndarray, share: float, seed: int) -> None:
    rest, taken = stratified_split(labels, share, seed)
    assert sorted([*rest.tolist(), *taken.tolist()]) == list(range(len(labels)))
    several = np.bincount(labels, minlength=5) >= 2
    assert (counts(labels, rest)[several] > 0).all()
    assert (counts(labels, taken)[several] > 0).all()
    assert (counts(labels, rest)[~several] == np.bincount(labels, minlength=5)[~several]).all()


@given(st.lists(st.integers(10, 60), min_size=2, max_size=5), st.integers(0, 9))
def test_shares_are_those_of_scikit_learn(sizes: list[int], seed: int) -> None:
    labels = np.repeat(np.arange(len(sizes)), sizes)
    wanted = len(labels) // 5
    _, taken = stratified_split(labels, wanted, seed)
    assert len(taken) == wanted
    reference = next(StratifiedShuffleSplit(1, test_size=wanted, random_state=seed).split(labels, labels))[1]
    assert np.abs(counts(labels, taken) - counts(labels, reference)).max() <= 1
    ideal = np.array(sizes) * wanted / len(labels)
    assert np.abs(counts(labels, taken)[: len(sizes)] - ideal).max() < 1


@given(LABELS, st.lists(st.integers(0, 12), min_size=80, max_size=80), st.integers(0, 9))
def test_a_group_is_never_torn(labels: np.ndarray, numbers: list[int], seed: int) -> None:
    groups = np.array(numbers[: len(labels)])
    rest, taken = stratified_split(labels, 0.3, seed, groups=groups)
    assert not set(groups[rest]) & set(groups[taken])
    if len(set(groups)) >= 2:
        for train, val in k_folds(labels, 2, seed, groups=groups):
            assert not set(groups[train]) & set(groups[val])


@given(LABELS, st.integers(2, 4), st.integers(0, 9))
def test_folds_share_out_every_picture_once(labels: np.ndarray, k: int, seed: int) -> None:
    folds = k_folds(labels, k, seed)
    assert sorted(np.concatenate([val for _, val in folds]).tolist()) == list(range(len(labels)))
    for train, val in folds:
        assert sorted([*train.tolist(), *val.tolist()]) == list(range(len(labels)))
    by_fold = np.stack([counts(labels, val) for _, val in folds])
    assert (by_fold.max(axis=0) - by_fold.min(axis=0)).max() <= 1
    sizes = by_fold.sum(axis=1)
    assert sizes.max() - sizes.min() <= 1


def test_folds_have_the_class_counts_of_scikit_learn() -> None:
    labels = np.repeat(np.arange(5), [7, 30, 11, 5, 22])
    reference = [val for _, val in StratifiedKFold(5, shuffle=True, random_state=1).split(labels, labels)]
    ours = [val for _, val in k_folds(labels, 5, 1)]
    for label in range(5):
        assert sorted(counts(labels, val)[label] for val in ours) == sorted(
            counts(labels, val)[label] for val in reference
        )


def test_seed_and_place_decide() -> None:
    labels = np.arange(100) % 4
    taken = stratified_split(labels, 0.2, 1)[1].tolist()
    assert taken == stratified_split(labels, 0.2, 1)[1].tolist()
    assert taken != stratified_split(labels, 0.2, 2)[1].tolist()
    assert taken != stratified_split(labels, 0.2, 1, place="other")[1].tolist()


@pytest.mark.parametrize("k", [0, 1, 11])
def test_impossible_folds_are_refused(k: int) -> None:
    with pytest.raises(DataError, match=f"{k} folds of 10 different pictures can't be made; 2 to 10 can"):
        k_folds(np.zeros(10, np.int64), k, 1)


def test_more_than_there_is_can_not_be_taken() -> None:
    with pytest.raises(DataError, match=r"9 pictures can't be taken out of 10: .* 8 is the most"):
        stratified_split(np.arange(10) % 2, 9, 1)


def test_groups_of_contents() -> None:
    assert content_groups([b"a", b"b", b"a", b"c"]).tolist() == [0, 1, 0, 2]
