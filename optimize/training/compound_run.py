"""What runs of many trainings share: search, folds and ensembles.

They see training as functions handed in (``Tools``), own a folder of run folders,
and leave each member's resuming to the training itself. ``state.json`` says what
kind of run the folder holds, of which recipe and which data, so that another recipe
or other data are not continued by mistake.
"""

import fcntl
import json
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from optimize.errors import RunError
from optimize.training.durable import reason, write_whole
from optimize.training.recipe_file import to_toml
from optimize.training.run_folder import RunFolder
from optimize.training.run_state import FREE, WRITTEN_FIRST, differences, refuse_other_data

if TYPE_CHECKING:
    from torch import Tensor, nn

    from model_zoo.spec import InputSpec
    from optimize.data.dataset import Dataset
    from optimize.data.read import Data
    from optimize.judging.predictions import Predictions
    from optimize.training.finished import EpochRow, Finished
    from optimize.training.network.network import Network
    from optimize.training.recipe import Recipe

Say = Callable[[str], None]

_LOCK = ".state.lock"
# Where a zoo entry's bundle is made, before the run that starts from it can be described.
PARENT_STORE = "parent"


class Said(Protocol):
    """A recipe of any kind."""

    def to_content(self) -> dict[str, Any]:
        """What its complete TOML file says."""
        ...


class Train(Protocol):
    """``optimize.training.trainer.train``, or what stands for it in a test."""

    def __call__(
        self,
        recipe: "Recipe",
        folder: Path,
        *,
        data: "Data | None" = None,
        watch: "Callable[[EpochRow], None] | None" = None,
    ) -> "Finished":
        """Train, or go on training, in ``folder``; what ``watch`` raises ends it and reaches the caller."""
        ...


class Predict(Protocol):
    """``optimize.training.evaluate_network.predict_dataset``, or what stands for it in a test."""

    def __call__(self, network: "nn.Module", dataset: "Dataset", spec: "InputSpec") -> "Predictions":
        """What a network says of each labelled picture."""
        ...


class Inputs(Protocol):
    """Pictures as a network is given them."""

    def __call__(self, dataset: "Dataset", spec: "InputSpec") -> "Iterator[Tensor]":
        """Normalised float (n, C, H, W), in order, prepared as for judging."""
        ...


@dataclass(frozen=True, slots=True)
class Tools:
    """What a compound run is made with.

    Attributes:
        train: one training.
        read: the data that a recipe names.
        predict: a network's answers.
        inputs: pictures as networks are given them.
        open: the network of a run, a bundle or a store, and what must be known of it.
        say: tells a person how it goes, a line at a time.
    """

    train: Train
    read: "Callable[[Recipe], Data]"
    predict: Predict
    inputs: Inputs
    open: "Callable[[Path], Network]"
    say: Say


def open_folder(folder: Path, kind: str, recipe: "Said", *, may_change: Collection[str] = ()) -> None:
    """Take ``folder`` for a run of this kind and recipe, or see that it is one already.

    Args:
        kind: "search", "ensemble", "cross_validation", "optimization".
        may_change: dotted fields that may differ from the time before.
    Raises:
        RunError: it holds something else, a run of another recipe, or can't be written.
    """
    refuse_strangers(folder, kind)  # before not even a lock is put among somebody's files
    with _locked(folder):
        _take(folder, kind, recipe, may_change)


def refuse_strangers(folder: Path, kind: str) -> None:
    """See that ``folder`` is free for a run of this kind, or holds one.

    Raises:
        RunError: it is a file, or holds something else.
    """
    state = RunFolder(folder).state
    if not state.exists():
        if folder.is_file():
            raise RunError(f"{folder} is a file; choose a folder with --out")
        if folder.is_dir() and any(
            path.name not in WRITTEN_FIRST | {_LOCK, ".lock", PARENT_STORE} for path in folder.iterdir()
        ):
            raise RunError(f"{folder} holds files, but no {_words(kind)}; choose another folder with --out")
    elif _read(state).get("kind") != kind:
        raise RunError(f"{folder} holds a run of another kind, not a {_words(kind)}; choose another folder with --out")


def _take(folder: Path, kind: str, recipe: "Said", may_change: Collection[str]) -> None:
    state = RunFolder(folder).state
    said = {"kind": kind, "recipe": _plain(recipe.to_content())}
    if not state.exists():
        _begin(folder, recipe, said)
        return
    before = _read(state)
    changed = dict(differences(before.get("recipe"), said["recipe"]))
    if refused := [line for path, line in changed.items() if path not in FREE | set(may_change)]:
        raise RunError(
            f"{folder} holds a {_words(kind)} of another recipe: {'; '.join(refused[:5])}. "
            "Choose another folder with --out, or the recipe as it was"
        )
    if changed:
        _begin(folder, recipe, before | said)


def begun_with(folder: Path) -> dict[str, Any]:
    """The content of the recipe of the run in ``folder``; nothing where there is none.

    Raises:
        RunError: it can't be read.
    """
    state = RunFolder(folder).state
    said: dict[str, Any] = _read(state).get("recipe", {}) if state.exists() else {}
    return said


def noted(folder: Path, name: str, value: str) -> str:
    """What ``state.json`` says under ``name``: ``value`` from now on, where it said nothing.

    Several processes that ask at once all come to the same.

    Raises:
        RunError: it can't be read or written.
    """
    state = RunFolder(folder).state
    with _locked(folder):
        content = _read(state)
        if name not in content:
            content[name] = value
            _write(state, content)
        return str(content[name])


def require_same_data(folder: Path, data: "Data", *, name: str = "data") -> None:
    """Hold the run to these data from its beginning to its end.

    Args:
        name: what ``state.json`` keeps their fingerprint under; parts of a run may read other data each.
    Raises:
        RunError: it was begun with other data, or the disk refused.
    """
    fingerprint = data.report.fingerprint
    refuse_other_data(folder, noted(folder, name, fingerprint), fingerprint)


def without_test(data: "Data") -> "Data":
    """For trials, members and folds: the test set is looked at once, by what comes of them all."""
    return replace(data, test=None)


def write_data_report(folder: Path, data: "Data") -> None:
    """``data.json`` of a run, which is held to these data: see ``require_same_data``.

    Raises:
        RunError: the run was begun with other data, or the disk refused.
    """
    require_same_data(folder, data)
    content = json.dumps(data.report.to_json(), indent=1, ensure_ascii=False)
    with _locked(folder):
        write_whole(RunFolder(folder).data, f"{content}\n".encode())


def _begin(folder: Path, recipe: "Said", said: dict[str, object]) -> None:
    write_whole(RunFolder(folder).recipe, to_toml(recipe).encode())
    _write(RunFolder(folder).state, said)


def _write(state: Path, content: Mapping[str, object]) -> None:
    write_whole(state, (json.dumps(content, indent=1, sort_keys=True) + "\n").encode())


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One process at a time, of those that share the folder, writes what is in it once."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / _LOCK).open("ab")
    except OSError as error:
        raise RunError(f"{folder} can't be written: {reason(error)}") from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _read(state: Path) -> dict[str, Any]:
    try:
        content = json.loads(state.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"{state} can't be read: {error}") from error
    if not isinstance(content, dict):
        raise RunError(f"{state} is no state of a run")
    return content


def _plain(content: Mapping[str, Any]) -> object:
    return json.loads(json.dumps(content, sort_keys=True))


def _words(kind: str) -> str:
    return kind.replace("_", "-")
