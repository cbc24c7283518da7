"""The bundle meant by a path: its own folder, a model's, a store's with one model, or a training run's."""

from pathlib import Path

from model_zoo.bundle import Bundle, read_bundle
from model_zoo.errors import ModelZooError
from model_zoo.store import Store
from optimize.errors import CheckpointError
from optimize.training.run_folder import RunFolder


def bundle_at(folder: Path) -> Bundle:
    """Read it, the newest version where there are several.

    Raises:
        CheckpointError: there is none, more than one model, or the bundle is refused.
    """
    folder = folder.expanduser().resolve()
    try:
        if (folder / "manifest.json").is_file():
            return read_bundle(folder)
        run = RunFolder(folder)
        store = Store(run.store if run.store.is_dir() else folder)
        names = store.names()
        if not names and Store(folder.parent).versions(folder.name):
            return Store(folder.parent).open(folder.name)
        if not names and run.recipe.is_file():
            raise CheckpointError(f"{folder}: this run has made no bundle yet; finish it, or name a checkpoint")
        if len(names) != 1:
            there = f"there are: {', '.join(names)}; name one of their folders" if names else "there is none"
            raise CheckpointError(f"{folder}: one bundle is wanted here, and {there}")
        return store.open(names[0])
    except ModelZooError as error:
        said = str(error)
        raise CheckpointError(said if str(folder) in said else f"{folder}: {said}") from error
