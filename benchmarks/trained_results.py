"""What a study of trained models came to: a table for people, JSON for programs.

Seeds differ in initial weights, order and augmentation (and, where pictures are held back
by seed, in which these are); their spread is given as mean ± half of Student's 95 %
interval. The pictures' own uncertainty is the judgement's interval, one a run. Pairs are
compared seed by seed on the same pictures.

The JSON keeps which pictures each run got wrong. So a study goes on where the run folders of
its earlier models are long gone: what was published is read back, and new runs are paired with
it. Runs published before this was kept are paired by their shares alone, without an interval.
"""

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import t as student

from model_zoo.bundle import read_bundle
from optimize.judging.agreement import wilson
from optimize.judging.comparison import mcnemar
from optimize.judging.paired_interval import tango
from optimize.judging.predictions import Predictions
from optimize.search.costs import macs, parameters
from optimize.training.epoch_log import read_times
from optimize.training.run_folder import RunFolder

if TYPE_CHECKING:
    from benchmarks.trained_models import Model, Study


@dataclass(frozen=True, slots=True)
class RunResult:
    """One finished run; rates are fractions, ``macs`` of one picture.

    Attributes:
        training_s: of all epochs and their looks at the validation pictures, as in times.csv: a run that was killed
            and continued has them all, once each. Reading the data, and judging and exporting in the end, are not in
            it.
        pictures: stands for the pictures judged and their labels: runs with the same one can be paired.
        wrong: which of them it got wrong, in their order; None of a run published before this was kept.
    """

    model: str
    seed: int
    n: int
    right: int
    top1: float
    ci95: tuple[float, float]
    epochs: int
    parameters: int
    macs: int
    bundle_bytes: int
    training_s: float
    pictures: str | None = None
    wrong: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class Pair:
    """Two runs of one seed on the same pictures; shares are fractions, ``difference`` is the better's less the base's.

    Attributes:
        only_better, only_base: pictures that one of the two alone gets right.
        ci95: of ``difference``, Tango's score interval.
        p_mid: McNemar's.
    """

    better: str
    base: str
    seed: int
    difference: float
    only_better: int | None = None
    only_base: int | None = None
    ci95: tuple[float, float] | None = None
    p_mid: float | None = None


def read_run(model: "Model", seed: int, place: Path) -> RunResult:
    """From what the run wrote; accuracy from its stored predictions."""
    run = RunFolder(place)
    predictions = Predictions.load(run.predictions(model.judged_on))
    wrong = np.flatnonzero(predictions.logits.argmax(1) != predictions.labels)
    right = len(predictions) - len(wrong)
    bundle = read_bundle(next(run.store.glob("*/*/manifest.json")).parent)
    times = read_times(run)
    return RunResult(
        model=model.name,
        seed=seed,
        n=len(predictions),
        right=right,
        top1=right / len(predictions),
        ci95=wilson(right, len(predictions)),
        epochs=len(times),
        parameters=parameters(bundle),
        macs=macs(bundle),
        bundle_bytes=(bundle.folder / "model.onnx").stat().st_size,
        training_s=round(sum(one.train_s + one.val_s for one in times), 1),
        pictures=_pictures(predictions),
        wrong=tuple(wrong.tolist()),
    )


def _pictures(predictions: Predictions) -> str:
    """Names as they lie in a folder: the photos may lie elsewhere the next time."""
    names = [
        f"{Path(name).name} {label}" for name, label in zip(predictions.identifiers, predictions.labels, strict=True)
    ]
    return hashlib.sha256("\n".join(names).encode()).hexdigest()[:16]


def published(path: Path) -> list[RunResult]:
    """The runs of an earlier writing; none where there was none."""
    if not path.is_file():
        return []
    runs = json.loads(path.read_text(encoding="utf-8"))["runs"]
    return [RunResult(**{**one, "wrong": None if one.get("wrong") is None else tuple(one["wrong"])}) for one in runs]


def spread(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean, and half of Student's 95 % interval of it; None of one value."""
    if len(values) < 2:
        return mean(values), None
    half = student.ppf(0.975, len(values) - 1) * stdev(values) / len(values) ** 0.5
    return mean(values), float(half)


def write_results(
    study: "Study", done: Sequence[tuple["Model", int, Path]], where: Mapping[str, object], folder: Path
) -> str:
    """Write ``NAME.json`` and ``NAME.table.md`` of these runs and those published before; returns the table."""
    path = folder / f"{study.name}.json"
    found = {(one.model, one.seed): one for one in published(path)}
    found |= {(model.name, seed): read_run(model, seed, place) for model, seed, place in done}
    order = [model.name for model in study.models]
    results = sorted(
        (one for one in found.values() if one.model in order), key=lambda one: (one.seed, order.index(one.model))
    )
    pairs = [
        paired(found[better, seed], found[base, seed])
        for better, base in study.pairs
        for seed in sorted({one.seed for one in results})
        if (better, seed) in found and (base, seed) in found
    ]
    content = {"machine": where, "runs": [asdict(one) for one in results], "pairs": [asdict(one) for one in pairs]}
    text = "\n".join([*_table(study, results), "", *_pairs(pairs)]).rstrip() + "\n"
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(_json(content), encoding="utf-8")
    (folder / f"{study.name}.table.md").write_text(text, encoding="utf-8")
    return text


def _json(content: object) -> str:
    """Indented, but a list of whole numbers stays on its line."""
    text = json.dumps(content, indent=1)
    return re.sub(r"\[\s+\d+(?:,\s+\d+)*\s+\]", lambda found: " ".join(found[0].split()), text) + "\n"


def paired(better: RunResult, base: RunResult) -> Pair:
    """Both runs on the same pictures.

    Raises:
        ValueError: they were judged on others.
    """
    seed, difference = better.seed, better.top1 - base.top1
    if better.n != base.n or (better.pictures and base.pictures and better.pictures != base.pictures):
        raise ValueError(f"{better.model} and {base.model} of seed {seed} were not judged on the same pictures")
    if better.wrong is None or base.wrong is None:
        return Pair(better.model, base.model, seed, difference)
    only_better, only_base = len({*base.wrong} - {*better.wrong}), len({*better.wrong} - {*base.wrong})
    return Pair(
        better=better.model,
        base=base.model,
        seed=seed,
        difference=difference,
        only_better=only_better,
        only_base=only_base,
        ci95=tango(only_better, only_base, better.n),
        p_mid=mcnemar(only_better, only_base)[1],
    )


def _table(study: "Study", results: Sequence[RunResult]) -> list[str]:
    by_model: dict[str, list[RunResult]] = defaultdict(list)
    for one in results:
        by_model[one.model].append(one)
    lines = [
        "| model | parameters | MACs | top-1 by seed, % | mean ± 95 % over seeds | pictures | epochs "
        "| minutes of training |",
        "|---|---|---|---|---|---|---|---|",
    ]
    return [*lines, *(_row(model, by_model[model.name]) for model in study.models if model.name in by_model)]


def _row(model: "Model", rows: Sequence[RunResult]) -> str:
    middle, half = spread([100 * row.top1 for row in rows])
    first = rows[0]
    minutes = [row.training_s / 60 for row in rows]
    cells: list[Any] = [
        model.title,
        f"{first.parameters:,}",
        f"{first.macs / 1e6:.1f} M",
        ", ".join(f"{100 * row.top1:.2f}" for row in rows),
        f"{middle:.2f}" + (f" ± {half:.2f}" if half is not None else ""),
        f"{first.n:,}",
        first.epochs,
        f"{min(minutes):.1f}" if len(minutes) == 1 else f"{min(minutes):.1f} to {max(minutes):.1f}",
    ]
    return "| " + " | ".join(map(str, cells)) + " |"


def _pairs(pairs: Sequence[Pair]) -> list[str]:
    if not pairs:
        return []
    lines = ["| pair | seed | difference, points | 95 % interval | McNemar's mid-p |", "|---|---|---|---|---|"]
    for one in pairs:
        interval, chance = "not kept", "not kept"
        if one.ci95 is not None:
            interval, chance = " to ".join(f"{100 * edge:+.2f}" for edge in one.ci95), f"{one.p_mid:.2g}"
        names = f"{one.better} − {one.base}"
        lines.append(f"| {names} | {one.seed} | {100 * one.difference:+.2f} | {interval} | {chance} |")
    middle, half = spread([100 * one.difference for one in pairs])
    about = f" ± {half:.2f}" if half is not None else ""
    lines.append(f"| mean | | {np.round(middle, 2):+.2f}{about} | | |")
    return lines
