"""state.json and recipe.toml of a run: what it is, where it stands, and whether it may go on.

A folder belongs to one recipe and one data set. Where pictures lie, how many threads
decode, how much memory they may take and which device trains may differ when a run goes
on: the data's fingerprint says whether these are the same pictures.
"""

import fcntl
import json
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from optimize.errors import RunError
from optimize.training.durable import reason, write_whole
from optimize.training.recipe import Recipe
from optimize.training.recipe_file import to_toml
from optimize.training.run_folder import RunFolder

# What may differ from the time before.
FREE = frozenset(
    {
        *(f"data.{name}" for name in ("train", "val", "test", "target", "memory_mb", "workers", "prefetch")),
        *(f"train.{name}" for name in ("threads", "device")),
    }
)
_SHOWN = 5


class RunState(BaseModel):
    """state.json.

    Attributes:
        kind: other kinds of runs (a search, folds) have folders of their own.
        data: the fingerprint of the data.
        epoch: how many are done.
        stopped_early: no more epochs are to come although ``epoch`` is below ``epochs``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["training"] = "training"
    status: Literal["training", "finished"] = "training"
    data: str
    epoch: int = 0
    epochs: int
    stopped_early: bool = False
    best_epoch: int | None = None
    val_top1: float | None = None
    test_top1: float | None = None
    temperature: float | None = None
    bundle: str | None = None

    def save(self, folder: RunFolder) -> None:
        """Write state.json.

        Raises:
            RunError: the disk refused.
        """
        write_whole(folder.state, (self.model_dump_json(indent=1) + "\n").encode())


def read_state(folder: RunFolder) -> RunState | None:
    """What state.json says; None where nothing was begun.

    Raises:
        RunError: it is of another kind of run, or can't be read.
    """
    if not folder.state.exists():
        return None
    try:
        content = json.loads(folder.state.read_text(encoding="utf-8"))
        return RunState.model_validate(content)
    except OSError as error:
        raise RunError(f"{folder.state} can't be read: {reason(error)}") from error
    except (ValidationError, ValueError) as error:
        raise RunError(
            f"{folder.root} holds something else than a training run ({folder.state.name} is not one's); "
            "choose another folder with --out"
        ) from error


def take(folder: RunFolder, recipe: Recipe) -> RunState | None:
    """See whether this recipe may be trained in the folder.

    Returns:
        Where its run stands; None where it is new.
    Raises:
        RunError: it holds something else, or a run of another recipe; the message names the fields.
    """
    state = read_state(folder)
    if state is None:
        _refuse_strangers(folder)
        return None
    try:
        before = tomllib.loads(folder.recipe.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"{folder.recipe} can't be read: {error}; choose another folder with --out") from error
    found = [line for path, line in differences(before, recipe.to_content()) if path not in FREE]
    if found:
        more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        raise RunError(
            f"{folder.root} holds a run of another recipe: {'; '.join(found[:_SHOWN])}{more}. "
            "Choose another folder with --out, or the recipe as it was"
        )
    return state


def begin(folder: RunFolder, recipe: Recipe, state: RunState) -> None:
    """Write what the run is before anything is trained.

    Raises:
        RunError: the disk refused.
    """
    write_whole(folder.recipe, to_toml(recipe).encode())
    state.save(folder)


def require_same_data(folder: RunFolder, state: RunState, fingerprint: str) -> None:
    """Raises: RunError: the data are not those that the run began with."""
    refuse_other_data(folder.root, state.data, fingerprint)


def refuse_other_data(folder: Path, before: str, now: str) -> None:
    """Raises: RunError: the two fingerprints, of the run's beginning and of today's data, differ."""
    if before != now:
        raise RunError(
            f"{folder} was begun with other data: their fingerprint is {now[:12]}…, the run's is {before[:12]}… "
            "(pictures, labels or the split have changed). Choose another folder with --out, or the data as they were"
        )


@contextmanager
def alone(folder: RunFolder) -> Iterator[None]:
    """Nobody else trains in the folder meanwhile; a process that dies lets go of it.

    Raises:
        RunError: somebody does, the folder holds something else, or it can't be made.
    """
    if folder.root.is_file():
        raise RunError(f"{folder.root} is a file; choose a folder with --out")
    if not folder.state.exists():
        _refuse_strangers(folder)  # here too, so that not even a lock is put among somebody's files
    try:
        folder.root.mkdir(parents=True, exist_ok=True)
        lock = (folder.root / ".lock").open("ab")
    except OSError as error:
        raise RunError(f"{folder.root} can't be written: {reason(error)}") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RunError(f"{folder.root}: another process is training in this folder") from error
        except OSError as error:
            raise RunError(
                f"{folder.root} can't be locked against a second training: {reason(error)}; choose a folder on a disk "
                "of this machine with --out"
            ) from error
        try:
            yield
        finally:
            _leave_nothing_empty(folder.root)


def _leave_nothing_empty(folder: Path) -> None:
    """A run that failed before it wrote anything leaves no folder."""
    with suppress(OSError):
        if [path.name for path in folder.iterdir()] == [".lock"]:
            (folder / ".lock").unlink()
            folder.rmdir()


def differences(one: object, other: object, path: str = "") -> Iterator[tuple[str, str]]:
    """(dotted field, what it was and what it is) wherever two recipes differ."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for key in dict.fromkeys([*one, *other]):
            yield from differences(one.get(key), other.get(key), f"{path}.{key}" if path else key)
    elif one != other:
        yield path, f"{path} was {_said(one)}, is {_said(other)}"


def _said(value: object) -> str:
    text = "not there" if value is None else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else f"{text[:59]}…"


def _refuse_strangers(folder: RunFolder) -> None:
    strangers = [path.name for path in _entries(folder.root) if path.name not in _OURS]
    if strangers:
        raise RunError(
            f"{folder.root} holds files, but no training run ({', '.join(sorted(strangers)[:3])}); "
            "choose another folder with --out"
        )


# What a run may leave behind that was killed before it had a state.
_WRITTEN_FIRST = ("recipe.toml", "data.json", "state.json")
WRITTEN_FIRST = frozenset({*_WRITTEN_FIRST, *(f".{name}.writing" for name in _WRITTEN_FIRST)})
_OURS = WRITTEN_FIRST | {".lock", "teacher"}


def _entries(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []
