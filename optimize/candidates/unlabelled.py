"""Pictures without labels: the parent's own answers stand for them, so that what is kept is agreement with it."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from model_zoo.bundle import Bundle
from optimize.candidates.judged import answers
from optimize.candidates.recipe import OptimizeRecipe
from optimize.candidates.steps import MEASURED
from optimize.data.dataset import Dataset, Task
from optimize.data.describe import describe
from optimize.data.gather import Gathered, gather_unlabelled
from optimize.data.leaks import find_leaks
from optimize.data.read import Data
from optimize.data.splits import copy_groups, stratified_split
from optimize.errors import DataError, RunError
from optimize.passes import PASSES
from optimize.training.compound_run import noted
from optimize.training.run_folder import RunFolder

# Fewer can't be cut into three parts with any sense.
FEWEST = 12
# Steps that look at no training picture where photos calibrate.
_NEED_NONE = {*PASSES, *MEASURED, "resize"}


def read_unlabelled(recipe: OptimizeRecipe, folder: Path, parent: Bundle) -> Data:
    """The pictures that ``[data]`` names, in whatever folders, labelled by the parent; what is not given is cut.

    Raises:
        DataError: too few pictures, or none that can be decoded.
        RunError: the run was begun with other pictures, or without any to train by.
        BackendError: no engine runs the parent.
    """
    options, found = recipe.data, {}
    for split, path in (("train", options.train_paths[0]), ("val", options.val), ("test", options.test)):
        if path is not None:
            named = options.model_copy(update={"train": path})
            found[split] = gather_unlabelled(named, Path(), (Task("label", parent.labels),))
    n = len(found["train"].dataset)
    if n < FEWEST and not {"val", "test"} <= found.keys():
        raise DataError(f"{n} pictures are too few to calibrate, to choose and to guard; {FEWEST} are the least")
    likely, given = options.look_alikes, found.keys() - {"train"}
    leaks = {split: find_leaks(found["train"], split, found[split], likely=likely) for split in sorted(given)}
    report = describe(Gathered(found, ()), found, leaks)
    report = replace(report, warnings=tuple(report.sentences()))  # none on classes: nobody knows these
    kept = RunFolder(folder).predictions(f"parent-{report.fingerprint[:16]}")
    whole = {}
    for split, one in found.items():
        path = kept if split == "train" else kept.with_stem(f"{kept.stem}-{split}")
        whole[split] = _answered(one.dataset, parent, path, recipe)
    train, val, test = _cut_up(whole, recipe, trains=has_training_pictures(recipe, folder))
    report = replace(report, pictures={"train": len(train), "val": len(val), "test": len(test)})
    return Data(train, val.subset(range(len(val)), "val"), test.subset(range(len(test)), "test"), None, report)


def has_training_pictures(recipe: OptimizeRecipe, folder: Path) -> bool:
    """Whether some pictures are for training. It stays as the run began: what judged must not train later.

    Raises:
        RunError: the run began without, and now there is something to train.
    """
    needs = needs_training_pictures(recipe)
    began = noted(folder, "training pictures", "some" if needs else "none")
    if needs and began == "none":
        raise RunError(
            f"{folder} was begun with all its pictures to judge by, and a search, a rescue or a step that trains needs "
            "some of them; choose another folder with --out"
        )
    return began == "some"


def _cut_up(whole: dict[str, Dataset], recipe: OptimizeRecipe, *, trains: bool) -> tuple[Dataset, Dataset, Dataset]:
    """Training, choosing, the guard's: what is not given is cut from the set before it.

    Args:
        trains: some are for training.
    Raises:
        DataError: too few to choose and to guard.
    """
    train, val, test = whole["train"], whole.get("val"), whole.get("test")
    if val is None and not trains:
        train, val = train.subset([]), train
    elif val is None:
        train, val = _cut(train, recipe.data.val_share, recipe.seed, "judging")
    if test is None:
        val, test = _cut(val, 0.5, recipe.seed, "guard")
    if not len(val) or not len(test):
        raise DataError("there are too few pictures to choose and to guard; add pictures, or name some with --test")
    return train, val, test


def needs_training_pictures(recipe: OptimizeRecipe) -> bool:
    """Whether anything is made with them: passes that no photos calibrate, or steps that train or weigh channels."""
    steps = {step.name for candidate in recipe.candidate for step in candidate.steps}
    searched = recipe.search.candidates > 0 or recipe.rescue
    return isinstance(recipe.calibration, int) or searched or not steps <= _NEED_NONE


def _answered(dataset: Dataset, parent: Bundle, path: Path, recipe: OptimizeRecipe) -> Dataset:
    """Those that can be decoded, labelled by what the parent says of them."""
    any_label = replace(dataset, labels=np.zeros_like(dataset.labels))
    found = answers(parent, any_label, path, recipe.measure.backend)
    place = {dataset.identifier(index): index for index in range(len(dataset))}
    try:
        kept = dataset.subset([place[name] for name in found.identifiers])
    except KeyError as error:
        raise RunError(
            f"the run was begun with a picture {error} that is not there now, under another folder's name perhaps; "
            "choose another folder with --out"
        ) from error
    return replace(kept, labels=found.logits.argmax(axis=1).astype(np.int64)[:, None])


def _cut(dataset: Dataset, share: float, seed: int, place: str) -> tuple[Dataset, Dataset]:
    """By chance alone: of answers that hardly any two pictures share, no class has a share to keep."""
    one_class = np.zeros(len(dataset), np.int64)
    rest, taken = stratified_split(one_class, share, seed, groups=copy_groups(dataset), place=place)
    return dataset.subset(rest), dataset.subset(taken)
