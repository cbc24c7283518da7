"""What a folder or a file lists, before it is known which number each class has.

A label is a ``str``, the name of a class, or an ``int``, its number, or None.
Names found in the training data are sorted, by number where all are numbers; a
bundle's labels, or the recipe's, keep their own order. Where such names are
given and none of them is a number, text that is a number counts classes from 0.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model_zoo.bundle_files import check_labels
from model_zoo.errors import BundleError
from optimize.choice import nearest
from optimize.data.dataset import UNLABELLED, Dataset, PictureSource, Task
from optimize.errors import DataError

Value = str | int | None

_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Listing:
    """Pictures and what they are labelled with.

    Attributes:
        task_names: one for ordinary classification.
        columns: for each task the N labels.
        empty_classes: classes that are named and have no picture, as empty folders.
        aside: a sentence about what was left lying, if anything.
    """

    name: str
    source: PictureSource
    task_names: tuple[str, ...]
    columns: tuple[tuple[Value, ...], ...]
    empty_classes: tuple[str, ...] = ()
    aside: str = ""


def found_tasks(listings: Sequence[Listing]) -> tuple[Task, ...]:
    """The tasks of training data whose classes nobody named: the classes that its labels tell.

    Raises:
        DataError: an empty class, negative numbers, or listings of different tasks.
    """
    names = listings[0].task_names
    for listing in listings:
        if listing.task_names != names:
            raise DataError(
                f"{listing.name} labels {', '.join(listing.task_names)}, {listings[0].name} {', '.join(names)}; "
                "what is trained on together has the same label columns"
            )
        if listing.empty_classes:
            raise DataError(
                f"{listing.name}: no pictures in {some(listing.empty_classes)}; "
                "put some there, or remove the empty class folder"
            )
    columns = [[value for listing in listings for value in listing.columns[task]] for task in range(len(names))]
    return tuple(Task(name, _classes(name, column)) for name, column in zip(names, columns, strict=True))


def _classes(task: str, column: Sequence[Value]) -> tuple[str, ...]:
    numbers = [value for value in column if isinstance(value, int)]
    if numbers and min(numbers) < 0:
        raise DataError(f"{task}: label {min(numbers)} is outside the range: labels count from 0")
    if numbers:
        return tuple(map(str, range(max(numbers) + 1)))
    texts = {value for value in column if isinstance(value, str)}
    negative = sorted(text for text in texts if text[:1] == "-" and text[1:].isdecimal())
    if negative and all(text.lstrip("-").isdecimal() for text in texts):
        raise DataError(
            f"{task}: label {negative[0]} is outside the range: labels count from 0; "
            "leave the place empty where a picture has no label"
        )
    by_number = all(text.isdecimal() for text in texts)
    return tuple(sorted(texts, key=lambda text: (int(text), text) if by_number else (0, text)))


def require_showable(task: Task) -> None:
    """Refuse before any training what could not be in a bundle after it.

    Raises:
        DataError: too many classes, or a name that is empty, too long or holds characters that can't be shown.
    """
    try:
        check_labels(task.classes)
    except BundleError as error:
        number = re.match(r"label (\d+) ", str(error))
        name = f"the class {task.classes[int(number[1])]!r} can't be in a bundle; rename it: " if number else ""
        raise DataError(f"{task.name}: {name}{error}") from error


def settle(listing: Listing, tasks: tuple[Task, ...]) -> Dataset:
    """A data set whose labels are numbers of the given classes.

    Raises:
        DataError: a class that is not among them, or a number outside their range.
    """
    if len(listing.task_names) != len(tasks):
        wanted = ", ".join(task.name for task in tasks)
        raise DataError(f"{listing.name} labels {', '.join(listing.task_names)}; what is asked for is {wanted}")
    labels = np.empty((len(listing.source), len(tasks)), np.int64)
    for place, task in enumerate(tasks):
        labels[:, place] = _numbers(listing, listing.columns[place], task)
    return Dataset(listing.name, listing.source, np.arange(len(labels), dtype=np.int64), labels, tasks)


def _numbers(listing: Listing, column: tuple[Value, ...], task: Task) -> NDArray[np.int64]:
    known = {name: number for number, name in enumerate(task.classes)}
    texts = {value for value in column if isinstance(value, str)}
    doubled = sorted(texts & {name for name, times in Counter(task.classes).items() if times > 1})
    if doubled:
        raise DataError(f"{listing.name}: several classes are called {some(doubled)}; give their numbers instead")
    unknown = texts - known.keys()
    if unknown:
        if not (all(text.isdecimal() for text in texts) and not any(name.isdecimal() for name in known)):
            raise _unknown(listing, unknown, task, texts | set(listing.empty_classes))
        known = {text: int(text) for text in texts}
    numbers = [UNLABELLED if value is None else value if isinstance(value, int) else known[value] for value in column]
    for picture, (value, number) in enumerate(zip(column, numbers, strict=True)):
        if value is not None and not 0 <= number < len(task.classes):
            raise DataError(
                f"{listing.source.identifier(picture)}: label {value} is outside the range: "
                f"there are {len(task.classes)} classes, 0 to {len(task.classes) - 1}"
            )
    return np.array(numbers, np.int64)


def _unknown(listing: Listing, unknown: set[str], task: Task, seen: set[str]) -> DataError:
    absent = [name for name in task.classes if name not in seen]
    hint = nearest(min(unknown), task.classes) if len(unknown) == 1 else ""
    return DataError(
        f"{listing.name} has classes that are not among the {len(task.classes)} known ones: {some(sorted(unknown))}"
        + (f"; known, and absent here: {some(absent)}" if absent else "")
        + (hint if "did you mean" in hint else "")
    )


def some(names: Iterable[str]) -> str:
    """The first few names, quoted, and how many more there are."""
    listed = list(names)
    more = f" and {len(listed) - _SHOWN} more" if len(listed) > _SHOWN else ""
    return ", ".join(map(repr, listed[:_SHOWN])) + more
