"""Pictures without labels: the parent's own answers stand for them, so that what is kept is agreement with it."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from model_zoo.bundle import Bundle
from optimize.candidates.judged import answers
from optimize.candidates.recipe import OptimizeRecipe
from optimize.data.dataset import Dataset, Task
from optimize.data.describe import describe
from optimize.data.gather import Gathered, gather_unlabelled
from optimize.data.read import Data
from optimize.data.splits import copy_groups, stratified_split
from optimize.errors import DataError
from optimize.training.run_folder import RunFolder

# Fewer can't be cut into three parts with any sense.
FEWEST = 12


def read_unlabelled(recipe: OptimizeRecipe, folder: Path, parent: Bundle) -> Data:
    """The pictures of ``data.train``, whatever folders they lie in, labelled by the parent and cut into three.

    Raises:
        DataError: too few pictures, or none that can be decoded.
        BackendError: no engine runs the parent.
    """
    options = recipe.data
    screening = gather_unlabelled(options, Path(), (Task("label", parent.labels),))
    n = len(screening.dataset)
    if n < FEWEST:
        raise DataError(f"{n} pictures are too few to calibrate, to choose and to guard; {FEWEST} are the least")
    report = describe(Gathered({"train": screening}, ()), {"train": screening})
    kept = RunFolder(folder).predictions(f"parent-{report.fingerprint[:16]}")
    whole = _answered(screening.dataset, parent, kept, recipe)
    rest, judging = _cut(whole, options.val_share, recipe.seed, "judging")
    val, test = _cut(judging, 0.5, recipe.seed, "guard")
    sets = {"train": rest, "val": val, "test": test}
    report = replace(report, pictures={split: len(one) for split, one in sets.items()})
    return Data(rest, val.subset(range(len(val)), "val"), test.subset(range(len(test)), "test"), None, report)


def _answered(dataset: Dataset, parent: Bundle, path: Path, recipe: OptimizeRecipe) -> Dataset:
    """Those that can be decoded, labelled by what the parent says of them."""
    any_label = replace(dataset, labels=np.zeros_like(dataset.labels))
    found = answers(parent, any_label, path, recipe.measure.backend)
    place = {dataset.identifier(index): index for index in range(len(dataset))}
    kept = dataset.subset([place[name] for name in found.identifiers])
    return replace(kept, labels=found.logits.argmax(axis=1).astype(np.int64)[:, None])


def _cut(dataset: Dataset, share: float, seed: int, place: str) -> tuple[Dataset, Dataset]:
    """By chance alone: of answers that hardly any two pictures share, no class has a share to keep."""
    one_class = np.zeros(len(dataset), np.int64)
    rest, taken = stratified_split(one_class, share, seed, groups=copy_groups(dataset), place=place)
    return dataset.subset(rest), dataset.subset(taken)
