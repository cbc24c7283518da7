"""The settings' paths → labelled, screened sets by split, before anything is split further."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from optimize.data.dataset import UNLABELLED, Dataset, Task
from optimize.data.first_per_class import first_per_class
from optimize.data.idx import parts_of_folder
from optimize.data.image_folder import list_unlabelled
from optimize.data.layouts import Parts, list_path
from optimize.data.listing import Listing, found_tasks, require_showable, settle
from optimize.data.options import DataOptions
from optimize.data.package_files import found_file
from optimize.data.screening import Screening, joined, screen
from optimize.data.told_apart import told_apart
from optimize.errors import DataError

Progress = Callable[[str, int, int], None]  # what is being read, pictures done, pictures in all


@dataclass(frozen=True, slots=True)
class Gathered:
    """``sets``: train, and val, test and target where there are such; ``asides``: what was left lying."""

    sets: dict[str, Screening]
    asides: tuple[str, ...]


def gather(options: DataOptions, folder: Path, progress: Progress | None = None) -> Gathered:
    """List, label, limit and screen all that the settings name.

    Raises:
        DataError: as ``read_data``.
    """
    listings = _list_all(options, folder)
    tasks = tasks_for(listings["train"], options.classes)
    sets = {}
    for split, some in listings.items():
        sets[split] = _screened([settle(one, tasks) for one in some], split, options, progress)
    if options.target is not None:
        target = _unlabelled(list_target(folder / options.target, options), tasks)
        sets["target"] = _screened([target], "target", options, progress)
    asides = tuple(one.aside for some in listings.values() for one in some if one.aside)
    return Gathered(sets, asides)


def gather_unlabelled(options: DataOptions, folder: Path, tasks: tuple[Task, ...]) -> Screening:
    """The pictures of the first path of ``options.train``, screened; labels that they may have are left aside.

    Raises:
        DataError: there are none, or none can be decoded.
    """
    listing = list_target(folder / options.train_paths[0], options)
    return _screened([_unlabelled(listing, tasks)], "train", options, None)


def tasks_for(listings: Sequence[Listing], classes: tuple[str, ...] | None) -> tuple[Task, ...]:
    """The classes as found, or as given, for one task.

    Raises:
        DataError: as ``found_tasks``; classes are given and there are several tasks; a name that no bundle takes.
    """
    tasks = found_tasks(listings) if classes is None else _given(listings, classes)
    for task in tasks:
        require_showable(task)
    return tasks


def _given(listings: Sequence[Listing], classes: tuple[str, ...]) -> tuple[Task, ...]:
    names = listings[0].task_names
    if len(names) != 1:
        raise DataError(f"classes are given, and there are several label columns: {', '.join(names)}")
    return (Task(names[0], classes),)


def _list_all(options: DataOptions, folder: Path) -> dict[str, list[Listing]]:
    trained = [(path, list_path(folder / path, options)) for path in options.train_paths]
    listings = {"train": told_apart([_pick(parts, "train", path) for path, parts in trained])}
    for split, path in (("val", options.val), ("test", options.test)):
        if path is not None:
            listings[split] = [_pick(list_path(folder / path, options, only=(split,)), split, path)]
        elif split == "val" or not options.hold_out:
            ready_made = [parts[split] for _, parts in trained if split in parts]
            if ready_made:
                listings[split] = told_apart(ready_made)
    return listings


def _pick(parts: Parts, split: str, path: Path) -> Listing:
    found = parts.get(split, parts.get(""))
    if found is None:
        there = f"it has {', '.join(parts)}" if parts else "it has other splits only"
        raise DataError(f"{path}: no {split} split there; {there}; name its folder or file")
    return found


def list_target(path: Path, options: DataOptions) -> Listing:
    """A folder of pictures at any depth; of anything else the training split, its labels left aside."""
    path = found_file(path)
    if path.is_dir() and not parts_of_folder(path):
        return list_unlabelled(path)
    return _pick(list_path(path, options, only=("train",)), "train", path)


def _unlabelled(listing: Listing, tasks: tuple[Task, ...]) -> Dataset:
    n = len(listing.source)
    labels = np.full((n, len(tasks)), UNLABELLED, np.int64)
    return Dataset(listing.name, listing.source, np.arange(n, dtype=np.int64), labels, tasks)


def _screened(datasets: Sequence[Dataset], split: str, options: DataOptions, progress: Progress | None) -> Screening:
    report = None if progress is None else lambda done, total: progress(split, done, total)
    some = _limited(datasets, options.limit) if options.limit else datasets
    screenings = [screen(one, workers=options.workers, unreadable=options.unreadable, progress=report) for one in some]
    return joined(screenings, split)


def _limited(datasets: Sequence[Dataset], limit: int) -> Sequence[Dataset]:
    """The first ``limit`` pictures of each class of all of them together; sets of which none is left are left out."""
    if not any(map(len, datasets)):
        return datasets
    kept = first_per_class(np.concatenate([one.first_labels for one in datasets]), limit)
    starts = np.cumsum([0, *map(len, datasets)])
    cut = [
        one.subset(kept[(kept >= start) & (kept < start + len(one))] - start)
        for one, start in zip(datasets, starts, strict=False)
    ]
    return [one for one in cut if len(one)]
