"""A run folder → its report; a run that is not finished, or lacks a part, gets a shorter one."""

import csv
import json
import math
import shlex
import tomllib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from model_zoo.errors import ModelZooError
from model_zoo.store import Store
from optimize.data.report import spoken
from optimize.errors import DataError, RunError
from optimize.judging.judge import judge
from optimize.judging.latency import Latency
from optimize.judging.mistake_pictures import MistakePicture, load_mistake_pictures
from optimize.judging.predictions import Predictions
from optimize.judging.run_judgement import RunJudgement
from optimize.report.content import DataFacts, Judged, ReportContent
from optimize.report.render import render
from optimize.training.durable import write_whole
from optimize.training.run_folder import RunFolder

T = TypeVar("T")


def write_report(folder: RunFolder) -> Path:
    """Write ``report.html`` of a run: one file, no network; what the run lacks is said in words.

    Raises:
        RunError: nothing of a run is in the folder, or the disk refused.
        MissingLibraryError: jinja2 or matplotlib is not installed.
    """
    write_whole(folder.report, render(run_content(folder)).encode())
    return folder.report


def run_content(folder: RunFolder) -> ReportContent:
    """All that the folder tells.

    Raises:
        RunError: nothing of a run is in it.
    """
    if not any(path.exists() for path in (folder.recipe, folder.state, folder.metrics, folder.judgement)):
        raise RunError(
            f"{folder.root} holds no run: no recipe.toml, state.json, metrics.csv or judgement.json is in it"
        )
    notes: list[str] = []
    recipe = _text(folder.recipe)
    found = _judgement(folder, notes)
    none: tuple[str, tuple[MistakePicture, ...]] = ("", ())
    split, mistakes = _known(lambda: load_mistake_pictures(folder.mistakes), none, notes, folder.mistakes)
    main = found.main
    in_order = [(name, one) for name, one in (("test", found.test), ("val", found.val)) if one is not None]
    same = main is not None and split == main[0]
    return ReportContent(
        kind="run",
        title=_title(folder, recipe),
        judged=tuple(Judged(spoken(name), one) for name, one in in_order),
        model=found.model,
        folded_temperature=found.folded_temperature,
        latency=_known(lambda: (Latency.load(folder.latency),), (), notes, folder.latency),
        robustness=found.robustness,
        data=_data(folder, notes),
        metrics=_metrics(folder.metrics),
        recipe=recipe,
        facts=_facts(folder, recipe),
        mistakes=_pictures(mistakes) if same else (),
        mistakes_split=spoken(split),
        commands=_commands(folder),
        notes=notes,
    )


def data_facts(content: Mapping[str, Any]) -> DataFacts:
    """``data.json`` by class instead of by split; of several tasks the first."""
    counts: dict[str, dict[str, int]] = {}
    for split, tasks in content.get("counts", {}).items():
        for name, number in next(iter(tasks.values()), {}).items():
            counts.setdefault(name, {})[split] = number
    return DataFacts(
        counts=counts,
        pictures=content.get("pictures", {}),
        warnings=content.get("warnings", ()),
        unreadable=[(picture, reason) for picture, reason in content.get("unreadable", ())],
        duplicates=content.get("duplicates", ()),
        conflicts=content.get("conflicts", ()),
        leaks=content.get("leaks", ()),
        fingerprint=content.get("fingerprint", ""),
    )


def _judgement(folder: RunFolder, notes: list[str]) -> RunJudgement:
    """As it was written; else of the predictions, where they are there."""
    if folder.judgement.exists():
        return _known(lambda: RunJudgement.load(folder.judgement), RunJudgement(), notes, folder.judgement)
    found = {}
    for split in ("val", "test"):
        path = folder.predictions(split)
        predictions = _known(partial(Predictions.load, path), None, notes, path)
        if predictions is not None:
            found[split] = judge(predictions, seed=0)
    return RunJudgement(val=found.get("val"), test=found.get("test"))


def _known(read: Callable[[], T], otherwise: T, notes: list[str], path: Path) -> T:
    """What is read of a file; a file that is broken is a note, one that is not there is not."""
    if not path.exists():
        return otherwise
    try:
        return read()
    except DataError as error:
        notes.append(f"{path.name} is left out: {str(error)[:200]}")
        return otherwise


def _data(folder: RunFolder, notes: list[str]) -> DataFacts | None:
    def read() -> DataFacts:
        try:
            return data_facts(json.loads(folder.data.read_bytes()))
        except (ValueError, TypeError, AttributeError) as error:
            raise DataError(f"not what training writes: {error}") from error

    return _known(read, None, notes, folder.data)


def _metrics(path: Path) -> dict[str, list[float | None]]:
    """Columns by name; an empty cell, or one that is no finite number, is None."""
    if not path.exists():
        return {}
    with path.open(newline="", encoding="utf-8", errors="replace") as file:
        rows = list(csv.DictReader(file))
    return {name: [_number(row.get(name)) for row in rows] for name in (rows[0] if rows else {}) if name}


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _pictures(mistakes: tuple[MistakePicture, ...]) -> tuple[MistakePicture, ...]:
    return tuple(one for one in mistakes if one.picture.startswith("data:image/"))


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""


def _recipe(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return {}


def _title(folder: RunFolder, recipe: str) -> str:
    return str(_recipe(recipe).get("name") or folder.root.resolve().name)


def _facts(folder: RunFolder, recipe: str) -> list[tuple[str, str]]:
    settings = _recipe(recipe)
    model, train = settings.get("model", {}), settings.get("train", {})
    facts = [
        ("architecture", model.get("architecture")),
        ("weights", model.get("weights")),
        ("epochs", train.get("epochs")),
        ("seed", settings.get("seed")),
        ("trained in", _duration(folder.times)),
    ]
    return [(name, str(value)) for name, value in facts if value is not None]


def _duration(times: Path) -> str | None:
    columns = _metrics(times)
    seconds = sum(value for name in ("train_s", "val_s") for value in columns.get(name, ()) if value)
    if not seconds:
        return None
    return f"{seconds / 60:.1f} minutes" if seconds >= 60 else f"{seconds:.0f} s"


def _commands(folder: RunFolder) -> list[tuple[str, str]]:
    root = shlex.quote(str(folder.root))
    commands = [("Train it again", f"quickeye train {root}/recipe.toml --out ANOTHER_FOLDER")]
    try:
        names = Store(folder.store).names()
    except ModelZooError:
        names = []
    if names:
        commands += [
            ("Serve it", f"quickeye serve --store {root}/store --model {names[0]}"),
            (
                "Classify pictures",
                f"quickeye predict PICTURES --store {root}/store --model {names[0]} --explain EXPLAINED",
            ),
            ("Judge it on other pictures", f"quickeye evaluate {root} --data FOLDER --report evaluation.html"),
        ]
    return commands
