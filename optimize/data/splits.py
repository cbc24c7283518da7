"""Splits that keep the shares of the classes, by seed, with copies of a picture on one side.

Own code, where scikit-learn has ``StratifiedShuffleSplit`` and ``StratifiedGroupKFold``:
neither promises a class with two pictures a place on both sides, the first knows
no groups, and a split must stay the same when a library is updated.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from optimize.data.dataset import Dataset
from optimize.errors import DataError
from optimize.seeding import numpy_generator

Indices = NDArray[np.int64]


def content_groups(digests: Sequence[bytes]) -> Indices:
    """(N,): one number for all pictures of the same bytes."""
    numbers = {digest: number for number, digest in enumerate(dict.fromkeys(digests))}
    return np.array([numbers[digest] for digest in digests], np.int64)


def copy_groups(dataset: Dataset) -> Indices:
    """``content_groups`` of a data set's pictures."""
    return content_groups([dataset.source.digest(position) for position in dataset.positions.tolist()])


def stratified_split(
    labels: Indices, taken: int | float, seed: int, *, groups: Indices | None = None, place: str = "split"
) -> tuple[Indices, Indices]:
    """Take some pictures out, of each class its share.

    A class of two groups or more has some on both sides.

    Args:
        labels: (N,).
        taken: how many, or as a float below 1 about which share; large groups may make it a few less or more.
        groups: (N,), pictures of one group stay together; default: each for itself.
        place: splits of one seed that should differ have different ones.
    Returns:
        Places of the rest and of those taken, both ascending.
    Raises:
        DataError: more are asked for than can be taken.
    """
    wanted = taken if isinstance(taken, int) else max(1, round(taken * len(labels)))
    decks = _decks(labels, groups, seed, place)
    quotas = _quotas(decks, wanted)
    if isinstance(taken, int) and sum(quotas) < wanted:
        raise DataError(
            f"{wanted} pictures can't be taken out of {len(labels)}: each class keeps one at least; "
            f"{sum(quotas)} is the most"
        )
    out = [group for deck, quota in zip(decks, quotas, strict=True) for group in _deal(deck, quota)]
    chosen = np.zeros(len(labels), bool)
    chosen[np.concatenate([np.empty(0, np.int64), *out])] = True
    return np.flatnonzero(~chosen), np.flatnonzero(chosen)


def k_folds(labels: Indices, k: int, seed: int, *, groups: Indices | None = None) -> list[tuple[Indices, Indices]]:
    """Cut into k parts of like size and like shares of the classes; each validates once.

    Args:
        labels, groups: as ``stratified_split``.
    Returns:
        k pairs of places: of what trains and of what validates, ascending. A class of fewer than k groups is
        missing from some parts.
    Raises:
        DataError: k is below 2, or there are fewer groups than parts.
    """
    decks = _decks(labels, groups, seed, "folds")
    n_groups = sum(map(len, decks))
    if not 2 <= k <= n_groups:
        raise DataError(f"{k} folds of {n_groups} different pictures can't be made; 2 to {n_groups} can")
    fold_of = np.empty(len(labels), np.int64)
    sizes = np.zeros(k, np.int64)
    for deck in decks:
        in_class = np.zeros(k, np.int64)
        for group in sorted(deck, key=len, reverse=True):
            fold = int(np.lexsort((sizes, in_class))[0])
            fold_of[group] = fold
            in_class[fold] += len(group)
            sizes[fold] += len(group)
    return [(np.flatnonzero(fold_of != fold), np.flatnonzero(fold_of == fold)) for fold in range(k)]


def _decks(labels: Indices, groups: Indices | None, seed: int, place: str) -> list[list[Indices]]:
    """For each class its groups in random order; a group belongs to the class of its first picture."""
    numbers = np.arange(len(labels)) if groups is None else groups
    order = np.argsort(numbers, kind="stable")
    members = np.split(order, np.flatnonzero(np.diff(numbers[order])) + 1) if len(labels) else []
    members.sort(key=lambda group: int(group[0]))
    owners = np.array([labels[group[0]] for group in members], np.int64)
    decks = []
    for label in np.unique(owners):
        shuffled = numpy_generator(seed, place, int(label)).permutation(np.flatnonzero(owners == label))
        decks.append([members[group] for group in shuffled])
    return decks


def _quotas(decks: list[list[Indices]], wanted: int) -> list[int]:
    """How many pictures each class gives: its share, rounded so that the sum is right, and never all of it."""
    sizes = np.array([sum(map(len, deck)) for deck in decks])
    most = sizes - np.array([min(map(len, deck)) for deck in decks])
    least = np.minimum(most, 1)
    ideal = wanted * sizes / sizes.sum()
    quotas = np.clip(np.floor(ideal).astype(np.int64), least, most)
    while quotas.sum() < wanted and (quotas < most).any():
        quotas[np.argmax(np.where(quotas < most, ideal - quotas, -np.inf))] += 1
    while quotas.sum() > wanted and (quotas > least).any():
        quotas[np.argmax(np.where(quotas > least, quotas - ideal, -np.inf))] -= 1
    return [int(quota) for quota in quotas]


def _deal(deck: list[Indices], quota: int) -> list[Indices]:
    """Groups from the top that fit into the quota; the smallest, where a class would have none otherwise."""
    dealt: list[Indices] = []
    for group in deck:
        if len(group) <= quota:
            dealt.append(group)
            quota -= len(group)
    return dealt if dealt or not quota else [min(deck, key=len)]
