"""What a study of trained models came to: a table for people, JSON for programs.

Seeds differ in initial weights, order and augmentation (and, where pictures are held back
by seed, in which these are); their spread is given as mean ± half of Student's 95 %
interval. The pictures' own uncertainty is the judgement's interval, one a run. Pairs are
compared seed by seed on the same pictures.
"""

import json
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
from optimize.judging.comparison import Comparison, compare
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


def read_run(model: "Model", seed: int, place: Path) -> RunResult:
    """From what the run wrote; accuracy from its stored predictions."""
    run = RunFolder(place)
    predictions = Predictions.load(run.predictions(model.judged_on))
    right = int((predictions.logits.argmax(1) == predictions.labels).sum())
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
    )


def spread(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean, and half of Student's 95 % interval of it; None of one value."""
    if len(values) < 2:
        return mean(values), None
    half = student.ppf(0.975, len(values) - 1) * stdev(values) / len(values) ** 0.5
    return mean(values), float(half)


def write_results(
    study: "Study", done: Sequence[tuple["Model", int, Path]], where: Mapping[str, object], folder: Path
) -> str:
    """Write ``NAME.json`` and ``NAME.table.md``; returns the table."""
    results = [read_run(model, seed, place) for model, seed, place in done]
    places = {(model.name, seed): (model, place) for model, seed, place in done}
    pairs = [
        (better, base, seed, paired(places[better, seed], places[base, seed], (better, base)))
        for better, base in study.pairs
        for seed in sorted({seed for name, seed in places if name == better} & {s for n, s in places if n == base})
    ]
    content = {
        "machine": where,
        "runs": [asdict(one) for one in results],
        "pairs": [{"better": b, "base": base, "seed": seed, **one.to_json()} for b, base, seed, one in pairs],
    }
    text = "\n".join([*_table(study, results), "", *_pairs(pairs)]).rstrip() + "\n"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{study.name}.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    (folder / f"{study.name}.table.md").write_text(text, encoding="utf-8")
    return text


def paired(this: tuple["Model", Path], other: tuple["Model", Path], names: tuple[str, str]) -> Comparison:
    """Both runs on the same pictures."""
    first, second = (Predictions.load(RunFolder(place).predictions(model.judged_on)) for model, place in (this, other))
    return compare(first, second, seed=1, names=names)


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


def _pairs(pairs: Sequence[tuple[str, str, int, Comparison]]) -> list[str]:
    if not pairs:
        return []
    lines = ["| pair | seed | difference, points | 95 % interval | McNemar's mid-p |", "|---|---|---|---|---|"]
    for better, base, seed, one in pairs:
        low, high = (100 * edge for edge in one.ci95)
        interval = f"{low:+.2f} to {high:+.2f}"
        lines.append(f"| {better} − {base} | {seed} | {100 * one.difference:+.2f} | {interval} | {one.p_mid:.2g} |")
    middle, half = spread([100 * one.difference for *_, one in pairs])
    about = f" ± {half:.2f}" if half is not None else ""
    lines.append(f"| mean | | {np.round(middle, 2):+.2f}{about} | | |")
    return lines
