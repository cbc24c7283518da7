"""``quickeye evaluate``: how good a model is on labelled pictures, and how sure that figure is."""

import argparse
import json
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from model_zoo.errors import ModelZooError, UnknownModelError
from model_zoo.store_flag import store_to_read
from optimize.commands.evaluate_unknown import add_flags, require_savable, save, usage_fault, wanted
from optimize.data.package_files import found_file
from optimize.errors import OptimizeError, libraries_for
from server.backends import BACKENDS
from server.backends.errors import BackendError

if TYPE_CHECKING:
    from optimize.data.dataset import Dataset
    from optimize.data.report import DataReport
    from optimize.judging.evaluation import Evaluation
    from optimize.judging.judged_model import JudgedModel

LATENCY_SECONDS = 2.0


def make_parser() -> argparse.ArgumentParser:
    """The command's flags."""
    parser = argparse.ArgumentParser(
        prog="quickeye evaluate", description="How good a model is on labelled pictures, and how sure that is."
    )
    parser.add_argument(
        "model", metavar="MODEL", help="NAME or NAME/VERSION of the store, a bundle's or a run's folder, a checkpoint"
        " (with --arch), or an architecture with published weights (zoo:NAME)",
    )  # fmt: skip
    parser.add_argument(
        "--data", type=Path, required=True, metavar="DIR", help="folder of class folders, IDX files, CSV or JSONL"
    )
    parser.add_argument("--store", type=Path, metavar="DIR", help="folder of bundles (default: the shipped bundles)")
    parser.add_argument("--backend", choices=("auto", *BACKENDS), default="auto", help="engine for bundles (auto)")
    parser.add_argument("--arch", metavar="NAME", help="network of a checkpoint")
    parser.add_argument("--labels", metavar="FILE", help="class names of a checkpoint, one a line; or: imagenet")
    parser.add_argument("--compare", metavar="OTHER", help="another MODEL to compare with, on the same pictures")
    add_flags(parser)
    parser.add_argument("--robustness", action="store_true", help="also judge corrupted pictures")
    parser.add_argument("--no-latency", action="store_true", help="do not measure how long an answer takes")
    parser.add_argument("--stratified", action="store_true", help="resample within each class for the intervals")
    parser.add_argument("--limit", type=_positive, default=0, metavar="N", help="at most N pictures of each class")
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="of everything that is drawn (1)")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write a report as one HTML file")
    parser.add_argument("--json", action="store_true", help="print JSON; fractions")
    return parser


def main(arguments: list[str]) -> int:
    """Run the command; 0: judged, 1: no such model or data, or they do not go together, 2: usage."""
    parser = make_parser()
    flags = parser.parse_args(arguments)
    if fault := usage_fault(flags):
        parser.error(fault)
    try:
        with libraries_for("judging"), ExitStack() as opened:
            found = _run(flags, arguments, opened)
    except (OptimizeError, ModelZooError, BackendError) as error:
        print(f"quickeye evaluate: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"quickeye evaluate: {error.filename or flags.data}: {error.strerror or error}", file=sys.stderr)
        return 1
    from optimize.judging.evaluation_text import as_text

    print(json.dumps(found.to_json(), indent=2, allow_nan=False) if flags.json else as_text(found))
    if found.no_threshold:
        print(f"quickeye evaluate: {found.no_threshold}", file=sys.stderr)
        return 1
    return 0


def _run(flags: argparse.Namespace, words: list[str], opened: ExitStack) -> "Evaluation":
    from optimize.judging.class_columns import under_labels
    from optimize.judging.evaluation import evaluate

    if not found_file(flags.data).exists():
        raise UnknownModelError(f"--data {flags.data}: there is nothing of that name")
    model = _open(flags.model, flags, opened)
    if flags.save:
        require_savable(model)
    dataset, report = _read(flags, model.labels)
    other = None
    if flags.compare is not None:
        against = _open(flags.compare, flags, opened)
        if against.name == model.name:
            model.name, against.name = flags.model, flags.compare
        other = (against, under_labels(dataset, against.labels))
    found = evaluate(
        model,
        dataset,
        seed=flags.seed,
        stratified=flags.stratified,
        other=other,
        corrupt=flags.robustness,
        latency_seconds=0.0 if flags.no_latency else LATENCY_SECONDS,
        wanted=wanted(flags),
        progress=_progress(),
    )
    if flags.save:
        save(model, found, dataset.name)
    if flags.report is not None:
        _write_report(flags.report, found, model, dataset, report, words)
    return found


def _open(word: str, flags: argparse.Namespace, opened: ExitStack) -> "JudgedModel":
    from optimize.judging.find_model import ModelOptions, open_model

    options = ModelOptions(
        store=store_to_read(flags.store),
        backend=None if flags.backend == "auto" else flags.backend,
        architecture=flags.arch,
        labels=lambda: _labels(flags),
    )
    model = open_model(word, options)
    opened.callback(model.close)
    return model


def _labels(flags: argparse.Namespace) -> tuple[str, ...]:
    """A checkpoint's: as named, else the data's own, in the order of their names, which is what most trainers use."""
    from optimize.judging.find_model import read_labels

    if flags.labels is not None:
        return read_labels(flags.labels)
    dataset, _ = _read(flags, None)
    print(
        f"quickeye evaluate: no --labels; taken for the classes, in this order: {', '.join(dataset.classes[:20])}",
        file=sys.stderr,
    )
    return dataset.classes


def _read(flags: argparse.Namespace, labels: tuple[str, ...] | None) -> tuple["Dataset", "DataReport"]:
    from optimize.data.options import DataOptions
    from optimize.data.read import read_dataset

    options = DataOptions(train=flags.data, limit=flags.limit, look_alikes=False, missing_from_val="report")
    return read_dataset(flags.data, classes=labels, options=options)


def _write_report(
    path: Path,
    found: "Evaluation",
    model: "JudgedModel",
    dataset: "Dataset",
    report: "DataReport",
    words: list[str],
) -> None:
    from optimize.judging.mistake_pictures import mistake_pictures
    from optimize.report.evaluation_content import evaluation_content
    from optimize.report.render import render
    from optimize.training.durable import write_whole

    pictures = mistake_pictures(model, dataset, found.judgement.mistakes)
    page = render(evaluation_content(found, dataset=dataset, data=report, mistakes=pictures, words=words))
    write_whole(path, page.encode())
    print(f"report: {path}", file=sys.stderr)


def _progress() -> Callable[[str, int, int], None] | None:
    """A line that counts, on a terminal only."""
    if not sys.stderr.isatty():
        return None

    def show(what: str, done: int, planned: int) -> None:
        print(f"\r{what} {done}/{planned}\x1b[K", end="\n" if done >= planned else "", file=sys.stderr, flush=True)

    return show


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number from 1")
    return int(text)
