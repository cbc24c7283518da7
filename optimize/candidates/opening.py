"""From a recipe to what a run has at hand: the parent opened, the pictures read, the folder taken."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

from model_zoo.bundle import Bundle
from model_zoo.errors import UnknownModelError
from model_zoo.store import Store, parse_reference
from optimize.candidates import publishing
from optimize.candidates.bench import Bench, with_guard
from optimize.candidates.order import require_makeable
from optimize.candidates.photo_views import CalibrationPhotos
from optimize.candidates.published_files import require_named_files
from optimize.candidates.recipe import OptimizeRecipe
from optimize.candidates.unlabelled import has_training_pictures, read_unlabelled
from optimize.data.read import Data, read_data
from optimize.errors import CheckpointError, DataError, RunError
from optimize.training.bundle_at import bundle_at
from optimize.training.compound_run import (
    PARENT_STORE,
    Train,
    begun_with,
    noted,
    open_folder,
    refuse_strangers,
    write_data_report,
)

# In the words of an error of ``read_data``.
_OTHER_CLASSES = "classes that are not among"
_NO_PICTURES = "no pictures to train on in"
KIND = "optimization"
# What may be said otherwise when a run is continued: no figure depends on it.
FREE = (
    "budget.max_drop",
    "budget.strict",
    "budget.minutes",
    "abstain",
    "abstain.max_error",
    "abstain.max_unknown",
    "rescue",
    "search.candidates",
    *publishing.FREE,
)


def open_bench(recipe: OptimizeRecipe, folder: Path, parent: Bundle, train: Train, say: Callable[[str], None]) -> Bench:
    """Take the folder and read the data.

    Raises:
        RunError: the folder holds something else, or a run of another recipe or other data.
        DataError: pictures or labels that can't be judged by, or of other classes than the parent's.
        RecipeError, MissingPhotosError: photos that are named and can't be had.
    """
    require_makeable(recipe, parent)
    require_named_files(recipe, parent)
    data = _labelled(recipe, parent) if recipe.labelled else None
    open_folder(
        folder, KIND, recipe, may_change=_may_change(folder, recipe)
    )  # what can't be read leaves no folder behind
    _require_same_parent(folder, parent)
    _require_same_photos(folder, recipe)
    if data is None:
        data = read_unlabelled(recipe, folder, parent)
    write_data_report(folder, data)
    return Bench(recipe, folder, parent, data, train, say)


def _may_change(folder: Path, recipe: OptimizeRecipe) -> tuple[str, ...]:
    """What ``recipe`` may say otherwise than the run in ``folder`` did: candidates too, where it only adds some.

    Raises:
        RunError: it is a run of another kind, or has no pictures for what is added.
    """
    refuse_strangers(folder, KIND)
    before = begun_with(folder).get("candidate", [])
    mine = json.loads(json.dumps(recipe.to_content()["candidate"]))
    if not before or mine[: len(before)] != before:
        return FREE
    if not recipe.labelled:
        has_training_pictures(recipe, folder)  # refuses before the folder is the new recipe's
    return (*FREE, "candidate")


def _require_same_parent(folder: Path, parent: Bundle) -> None:
    """Hold the run to its parent: every figure is beside that one.

    Raises:
        RunError: it was begun with another, under the same name perhaps.
    """
    mine = hashlib.sha256(parent.read_model()).hexdigest()
    if noted(folder, "parent", mine) != mine:
        raise RunError(
            f"{folder} was begun with another model than {parent.folder} is now; choose another folder with --out"
        )


def _require_same_photos(folder: Path, recipe: OptimizeRecipe) -> None:
    if isinstance(recipe.calibration, CalibrationPhotos):
        mine = recipe.calibration.digest()
        if noted(folder, "photos", mine) != mine:
            raise RunError(
                f"{folder} was calibrated by photos that have changed since; choose another folder with --out"
            )


def _labelled(recipe: OptimizeRecipe, parent: Bundle) -> Data:
    try:
        data = read_data(recipe.data.model_copy(update={"classes": parent.labels}), recipe.seed)
    except DataError as error:
        if _NO_PICTURES in str(error):
            raise DataError(
                f"{error} (--unlabelled asks for no class, and keeps what {parent.spec.name} itself says)"
            ) from error
        if _OTHER_CLASSES not in str(error):
            raise
        raise DataError(
            f"the pictures are judged by the classes of {parent.spec.name}, and {error} (--unlabelled keeps what the "
            "model itself says of them, whatever their classes)"
        ) from error
    return with_guard(data, recipe.seed)


def open_parent(word: str, store: Store, folder: Path) -> Bundle:
    """The bundle that MODEL names: a bundle's or a run's folder, NAME or NAME/VERSION of the store, a zoo entry.

    Args:
        folder: of the run, where a zoo entry's bundle is made.
    Raises:
        UnknownModelError: none of these.
        CheckpointError: a file; it must be imported first.
        ModelZooError: it is there, and refused.
    """
    path = Path(word)
    if exists(path) and path.is_file():
        arch = "" if path.suffix == ".onnx" else " --arch ARCHITECTURE"
        raise CheckpointError(
            f"{path} is no bundle yet: quickeye models import {path} --name NAME{arch} --store store, "
            "then quickeye optimize NAME --store store"
        )
    if exists(path) and path.is_dir():
        return bundle_at(path)
    if word.startswith("zoo:"):
        return _published(word.removeprefix("zoo:"), folder)
    try:
        return store.open(*parse_reference(word))
    except UnknownModelError:
        from model_zoo.architectures import ARCHITECTURES

        if word not in ARCHITECTURES:
            raise
        return _published(word, folder)


def _published(name: str, folder: Path) -> Bundle:
    from model_zoo.export import build_bundle

    store = Store(folder / PARENT_STORE)
    return store.open(name) if store.versions(name) else build_bundle(name, store)


def exists(path: Path) -> bool:
    """False also where the system takes no such name at all."""
    try:
        return path.exists()
    except OSError:
        return False
