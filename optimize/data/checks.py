"""What makes a data set unfit to train on, said before anything is decoded for training."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from optimize.data.dataset import Dataset
from optimize.data.listing import some
from optimize.errors import DataError

_UNEVEN = 10  # the most frequent class has so many times the pictures of the rarest


def counts(dataset: Dataset) -> dict[str, dict[str, int]]:
    """Task → class → pictures. Classes of one name count together."""
    told: dict[str, dict[str, int]] = {}
    for place, task in enumerate(dataset.tasks):
        by_class = told.setdefault(task.name, {})
        for name, number in zip(task.classes, _numbers(dataset, place).tolist(), strict=True):
            by_class[name] = by_class.get(name, 0) + number
    return told


def refuse_untrainable(train: Dataset, unreadable: int) -> None:
    """Every task needs two classes, and every class a picture.

    Raises:
        DataError: it says which class, and what to do.
    """
    for place, task in enumerate(train.tasks):
        if len(task.classes) < 2:
            only = f"one class only, {task.classes[0]!r}" if task.classes else "no classes"
            raise DataError(
                f"{train.name}: there is {only}; two at least are needed to tell apart, a sub-folder for each"
            )
        empty = _without_pictures(train, place)
        if empty:
            broken = f" ({unreadable} pictures can't be read)" if unreadable else ""
            raise DataError(
                f"{train.name}: no pictures to train on in {some(empty)}{broken}; add some, or remove the class"
            )


def missing_classes(dataset: Dataset) -> list[str]:
    """Classes that no picture of the set has."""
    return [name for place in range(len(dataset.tasks)) for name in _without_pictures(dataset, place)]


def refuse_missing_from_val(train: Dataset, val: Dataset, *, is_given: bool) -> None:
    """Each class needs a picture to validate with.

    Args:
        is_given: the validation set was given, not taken from ``train``.
    Raises:
        DataError: some class has none.
    """
    missing = missing_classes(val)
    if not missing:
        return
    held = counts(train)
    some_of = ", ".join(f"{name!r} ({sum(task.get(name, 0) for task in held.values())})" for name in missing[:10])
    why = "" if is_given else "; a class needs two different pictures at least"
    raise DataError(
        f"no validation pictures of {some_of}{why}. In brackets: pictures that train. Add some, or go on without "
        'with data.missing_from_val = "report"'
    )


def warnings_about(datasets: Mapping[str, Dataset]) -> list[str]:
    """What a person should know of the class counts."""
    told = []
    for split, dataset in datasets.items():
        missing = missing_classes(dataset)
        if missing:
            told.append(f"{split} has no pictures of {some(missing)}: no figure tells how well they are recognised")
    if "train" not in datasets:  # an evaluated set stands alone
        return told
    train = datasets["train"]
    for place, task in enumerate(train.tasks):
        numbers = _numbers(train, place)
        if numbers.max() >= _UNEVEN * max(numbers.min(), 1):
            rarest, commonest = task.classes[int(numbers.argmin())], task.classes[int(numbers.argmax())]
            told.append(
                f"{commonest!r} has {numbers.max()} pictures and {rarest!r} has {numbers.min()}: "
                'data.sample = "balanced" or data.class_weights = true may help the rare ones'
            )
    return told


def _without_pictures(dataset: Dataset, place: int) -> list[str]:
    task = dataset.tasks[place]
    return [name for name, number in zip(task.classes, _numbers(dataset, place), strict=True) if not number]


def _numbers(dataset: Dataset, place: int) -> NDArray[np.int64]:
    labels = dataset.labels[:, place]
    return np.bincount(labels[labels >= 0], minlength=len(dataset.tasks[place].classes))
