"""From the settings of a recipe to data sets that can be trained on, and a report of what was found.

List, label, screen (hash and decode each picture once), take validation and test
out of training where they are not given, then look for pictures on both sides.
The same files and settings give the same sets, in the same order, everywhere.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from optimize.data.checks import refuse_missing_from_val, refuse_untrainable
from optimize.data.dataset import Dataset, Task
from optimize.data.describe import describe
from optimize.data.gather import Gathered, Progress, gather, tasks_for
from optimize.data.layouts import list_path
from optimize.data.leaks import Leaks, find_leaks
from optimize.data.listing import settle
from optimize.data.options import DataOptions
from optimize.data.report import DataReport
from optimize.data.screening import Screening, screen
from optimize.data.splits import content_groups, stratified_split
from optimize.errors import DataError

Sets = dict[str, Screening]


@dataclass(frozen=True, slots=True)
class Data:
    """All that a run reads. ``train`` and ``val`` are labelled and share their tasks; ``target`` is not labelled."""

    train: Dataset
    val: Dataset
    test: Dataset | None
    target: Dataset | None
    report: DataReport


def read_data(options: DataOptions, seed: int, *, folder: Path | None = None, progress: Progress | None = None) -> Data:
    """Read, check and split.

    Args:
        options: the recipe's ``[data]``.
        seed: the splits' randomness.
        folder: what relative paths are relative to; default: the working folder.
        progress: called with the split being read, how many pictures are done, and of how many.
    Raises:
        DataError: pictures or labels that can't be trained on; the message says which, and what to do.
    """
    gathered = gather(options, folder or Path(), progress)
    unreadable = len(gathered.sets["train"].unreadable)
    refuse_untrainable(gathered.sets["train"].dataset, unreadable)
    sets = _split(gathered.sets, options, seed)
    leaks = _leaks(sets, options)
    sets["train"], dropped = _without(sets["train"], leaks.values() if options.leaks == "drop" else ())
    datasets = {split: one.dataset for split, one in sets.items()}
    refuse_untrainable(datasets["train"], unreadable)
    if options.missing_from_val == "stop":
        refuse_missing_from_val(datasets["train"], datasets["val"], is_given="val" in gathered.sets)
    report = describe(gathered, sets, leaks, dropped, likely=options.look_alikes)
    return Data(datasets["train"], datasets["val"], datasets.get("test"), datasets.get("target"), report)


def read_dataset(
    path: Path,
    *,
    classes: tuple[str, ...] | None = None,
    tasks: tuple[Task, ...] | None = None,
    options: DataOptions | None = None,
    progress: Progress | None = None,
) -> tuple[Dataset, DataReport]:
    """One labelled set, as for ``quickeye evaluate``.

    Args:
        path: as ``DataOptions.train``; of ready-made splits the test set, else validation.
        classes: the labels of a bundle, in its order.
        tasks: likewise, of several label columns.
        options: columns, policies, threads and limit; its paths are not looked at. Pictures that can't be read do not
            count towards the limit, and those behind it are not read.
        progress: as ``read_data``.
    Raises:
        DataError: not readable, or it has a class that ``classes`` lacks; the message has both lists' difference.
    """
    options = options or DataOptions(train=path)
    if tasks is not None and options.label_columns is None and len(tasks) > 1:
        options = options.model_copy(update={"label_columns": tuple(task.name for task in tasks)})
    parts = list_path(path, options, only=("test", "val"))
    chosen = next((split for split in ("", "test", "val") if split in parts), None)
    if chosen is None:
        raise DataError(f"{path}: there is neither a test nor a validation split; name a folder or file")
    listing = parts[chosen]
    dataset = settle(listing, tasks or tasks_for([listing], classes))
    report = None if progress is None else lambda done, total: progress(path.name, done, total)
    screening = screen(
        dataset, limit=options.limit, workers=options.workers, unreadable=options.unreadable, progress=report
    )
    name = chosen or path.name
    screening = replace(screening, dataset=replace(screening.dataset, name=name))
    asides = (listing.aside,) if listing.aside else ()
    return screening.dataset, describe(Gathered({name: screening}, asides), {name: screening})


def _split(given: Sets, options: DataOptions, seed: int) -> Sets:
    """Take what is held out and what validates from training; copies of a picture stay together."""
    sets = dict(given)
    if options.hold_out:
        sets["train"], sets["test"] = _take(sets["train"], options.hold_out, seed, "test")
    if "val" not in sets:
        sets["train"], sets["val"] = _take(sets["train"], options.val_share, seed, "val")
    return {split: sets[split] for split in ("train", "val", "test", "target") if split in sets}


def _take(train: Screening, taken: int | float, seed: int, name: str) -> tuple[Screening, Screening]:
    groups = content_groups(train.digests)
    rest, chosen = stratified_split(train.dataset.first_labels, taken, seed, groups=groups, place=name)
    if not len(chosen):
        raise DataError(
            f"{train.dataset.name}: {len(train.dataset)} pictures are too few to take some for {name}: "
            "each class needs two different ones at least"
        )
    return train.subset(rest, "train"), train.subset(chosen, name)


def _leaks(sets: Sets, options: DataOptions) -> dict[str, Leaks]:
    """By split.

    Raises:
        DataError: there are some, and the policy is to stop.
    """
    found: dict[str, Leaks] = {
        split: find_leaks(sets["train"], split, sets[split], likely=options.look_alikes)
        for split in ("val", "test")
        if split in sets
    }
    leaks = [leak for one in found.values() for leak in one.leaks]
    if leaks and options.leaks == "stop":
        told = "; ".join(f"{one.train_picture} is {one.picture} of {one.split} ({one.same})" for one in leaks[:10])
        raise DataError(f"{len({one.train_picture for one in leaks})} training pictures also judge: {told}")
    return found


def _without(train: Screening, leaks: Iterable[Leaks]) -> tuple[Screening, tuple[str, ...]]:
    leaking = np.zeros(len(train.dataset), bool)
    for one in leaks:
        leaking[one.places] = True
    dropped = tuple(train.dataset.identifier(place) for place in np.flatnonzero(leaking).tolist())
    return (train.subset(np.flatnonzero(~leaking), "train") if dropped else train), dropped
