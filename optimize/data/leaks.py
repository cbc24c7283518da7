"""Pictures that are there twice: copies across the splits, and copies within the training set."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from optimize.data.look_alikes import look_alikes
from optimize.data.report import JudgesTwice, Leak
from optimize.data.screening import Screening

CONFLICTS_UP_TO = 20_000


@dataclass(frozen=True, slots=True)
class Leaks:
    """What leaks into one split.

    Attributes:
        leaks: in the order of training.
        places: of those training pictures, ascending.
        are_all_alike: the pictures are so much alike that copies encoded anew can't be told from others.
    """

    leaks: tuple[Leak, ...]
    places: NDArray[np.int64]
    are_all_alike: bool


def find_leaks(train: Screening, split: str, judged: Screening, *, likely: bool) -> Leaks:
    """Every training picture that ``judged`` holds too.

    Args:
        split: what ``judged`` is called.
        likely: look for copies encoded anew as well.
    """
    first_of = {digest: place for place, digest in reversed(list(enumerate(judged.digests)))}
    partner: dict[int, tuple[int, Literal["bytes", "likely"]]] = {
        place: (first_of[digest], "bytes") for place, digest in enumerate(train.digests) if digest in first_of
    }
    found = look_alikes(judged.thumbnails, train.thumbnails) if likely else []
    for other, place in found or ():
        partner.setdefault(place, (other, "likely"))
    places = sorted(partner)
    leaks = tuple(
        Leak(split, judged.dataset.identifier(partner[place][0]), train.dataset.identifier(place), partner[place][1])
        for place in places
    )
    return Leaks(leaks, np.array(places, np.int64), found is None)


def find_judges_twice(val: Screening, test: Screening, *, likely: bool) -> tuple[JudgesTwice, ...]:
    """Every validation picture that ``test`` holds too; ``likely`` as for ``find_leaks``."""
    found = find_leaks(val, "test", test, likely=likely)
    return tuple(JudgesTwice(one.picture, one.train_picture, one.same) for one in found.leaks)


def find_likely_conflicts(train: Screening) -> tuple[tuple[str, ...], ...]:
    """Pairs of look-alikes, up to ``CONFLICTS_UP_TO`` training pictures, whose labels differ: "picture (class)"."""
    n = len(train.dataset)
    order = np.argsort(train.dataset.first_labels, kind="stable")
    if n > CONFLICTS_UP_TO or not n:
        return ()
    pairs = []
    cuts = np.flatnonzero(np.diff(train.dataset.first_labels[order])) + 1
    for cut in cuts.tolist():
        before, here = order[:cut], order[cut : next((one for one in cuts.tolist() if one > cut), n)]
        found = look_alikes(train.thumbnails[before], train.thumbnails[here])
        pairs += [(int(before[first]), int(here[second])) for first, second in found or ()]
    return tuple(
        tuple(f"{train.dataset.identifier(place)} ({_classes(train, place)})" for place in pair)
        for pair in sorted(pairs)
        if train.digests[pair[0]] != train.digests[pair[1]]
    )


def find_duplicates(train: Screening) -> tuple[tuple[str, ...], ...]:
    """Groups of training pictures that are the same byte for byte."""
    return tuple(tuple(one.dataset.identifier(place) for one, place in group) for group in _copies([train]))


def find_conflicts(screenings: Iterable[Screening]) -> tuple[tuple[str, ...], ...]:
    """Groups of the same bytes whose labels differ, in any splits: "picture (class)"."""
    return tuple(
        tuple(f"{one.dataset.identifier(place)} ({_classes(one, place)})" for one, place in group)
        for group in _copies(screenings)
        if len({tuple(one.dataset.labels[place].tolist()) for one, place in group}) > 1
    )


def _copies(screenings: Iterable[Screening]) -> list[list[tuple[Screening, int]]]:
    held = list(screenings)
    times = Counter(chain.from_iterable(one.digests for one in held))
    groups: dict[bytes, list[tuple[Screening, int]]] = {digest: [] for digest, number in times.items() if number > 1}
    for one in held if groups else ():
        for place, digest in enumerate(one.digests):
            if digest in groups:
                groups[digest].append((one, place))
    return list(groups.values())


def _classes(screening: Screening, place: int) -> str:
    row = screening.dataset.labels[place].tolist()
    named = zip(screening.dataset.tasks, row, strict=True)
    return ", ".join(task.classes[label] if label >= 0 else "-" for task, label in named)
