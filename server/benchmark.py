"""``quickeye benchmark MODEL``: latency and throughput of a bundle on this machine, and its best thread plan.

How it is measured: ``benchmark_run.py``. With ``--tune`` the best backend, plan and
batch size are kept (``server/backends/tuning.py``) and the server uses them.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from model_zoo.bundle import Bundle, read_bundle
from model_zoo.errors import BundleError, PictureError, UnknownModelError
from model_zoo.store import parse_reference
from model_zoo.store_flag import store_to_read
from server.backends import BACKENDS, BackendOptions, Device
from server.backends.batches import batch_limit
from server.backends.errors import BackendError
from server.backends.selection import CPU_LINE, open_backend
from server.backends.threads import ThreadPlan, available_cores, candidate_plans
from server.backends.tuning import TunedPlan, remember
from server.benchmark_pictures import EncodedPicture, encoded_pictures
from server.benchmark_report import Report
from server.benchmark_run import Cell, Engine, measure, path_cell, run_cell
from server.number_flag import number, whole_number

DEFAULT_BATCHES = (1, 4, 8)
DEFAULT_SECONDS = 20.0
MAX_SECONDS = 3600.0
MAX_BATCH = 1024
AS_GOOD = 0.97


@dataclass(frozen=True, slots=True)
class Question:
    """What to measure."""

    backends: tuple[str, ...]
    plans: tuple[ThreadPlan, ...]
    batches: tuple[int, ...]
    device: Device


def make_parser() -> argparse.ArgumentParser:
    """The command's flags."""
    parser = argparse.ArgumentParser(
        prog="quickeye benchmark", description="Latency and throughput of a bundle on this machine."
    )
    parser.add_argument("model", metavar="MODEL", help="NAME or NAME/VERSION in the store, or a bundle's folder")
    parser.add_argument(
        "--store",
        type=Path,
        metavar="DIR",
        help="folder of bundles (default: $QUICKEYE_STORE, else the shipped bundles)",
    )
    parser.add_argument(
        "--batch", type=_list_of(MAX_BATCH), default=DEFAULT_BATCHES, metavar="N,N", help="sizes (1,4,8)"
    )
    parser.add_argument("--backend", action="append", choices=tuple(BACKENDS), help="only this engine; repeatable")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="where to run (auto)")
    parser.add_argument(
        "--threads", type=_list_of(1024), metavar="N,N", help="threads per instance; as many instances as cores allow"
    )
    parser.add_argument("--images", type=Path, metavar="DIR", help="decode these pictures (default: made ones)")
    parser.add_argument(
        "--seconds", type=number(0.1, MAX_SECONDS), default=DEFAULT_SECONDS, metavar="S", help="of measuring (20)"
    )
    parser.add_argument("--tune", action="store_true", help="remember the best plan; the server uses it from then on")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


def main(arguments: list[str]) -> int:
    """Run the command; 0: measured, 1: no such model, no engine runs it or the measuring failed, 2: usage."""
    flags = make_parser().parse_args(arguments)
    try:
        bundle = find_bundle(flags.model, flags.store)
        pictures, said = encoded_pictures(bundle, flags.images)
    except (UnknownModelError, BundleError, OSError, ValueError) as error:
        return _failed(str(error))
    try:
        question = _question(flags, bundle)
        report = benchmark(bundle, question, pictures, said, flags.seconds, _progress())
        report = _tune(report) if flags.tune and not report.interrupted else report
    except (BackendError, PictureError, OSError) as error:
        return _failed(str(error))
    print(json.dumps(report.as_json(), indent=2) if flags.json else report.as_text())
    return 130 if report.interrupted else 0


def find_bundle(model: str, store: Path | None) -> Bundle:
    """A bundle by its folder, or by NAME or NAME/VERSION in a store.

    Raises:
        UnknownModelError: neither.
        BundleError: it is there, and refused.
    """
    if (Path(model) / "manifest.json").is_file():
        return read_bundle(Path(model))
    return store_to_read(store).open(*parse_reference(model))


def benchmark(
    bundle: Bundle,
    question: Question,
    pictures: Sequence[EncodedPicture],
    said: str,
    seconds: float,
    on_slice: Callable[[int, int], None] | None = None,
) -> Report:
    """Open every engine that was asked for, measure them all in turns, close them.

    An interrupt (Ctrl-C) ends it early; what was measured until then is in the report.

    Raises:
        BackendError: none of the engines runs the model.
    """
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    with ExitStack() as opened:
        engines, refused = _open_all(bundle, question, opened)
        cells = [run_cell(engine, bundle, batch) for engine in engines for batch in question.batches]
        cells += [path_cell(engine, bundle, question.batches[-1], pictures) for engine in engines]
        try:
            rounds = measure(cells, seconds, on_slice=on_slice)
        except KeyboardInterrupt:
            rounds = min(len(cell.rates) for cell in cells)
            return Report(bundle, cells, refused, said, seconds, rounds, interrupted=True, load=load)
        return Report(bundle, cells, refused, said, seconds, rounds, load=load)


def best_plan(cells: Sequence[Cell]) -> TunedPlan:
    """The engine that answers most pictures from encoded bytes; among equals (3 %) the quickest for one picture.

    Its batches grow no larger than pays: up to the smallest size within 3 % of the best.
    """
    paths = [cell for cell in cells if cell.kind == "path"]
    good_enough = AS_GOOD * max(cell.images_per_s for cell in paths)
    equals = [cell.engine for cell in paths if cell.images_per_s >= good_enough]

    def runs(engine: Engine) -> list[Cell]:
        return sorted((one for one in cells if one.kind == "run" and one.engine is engine), key=lambda one: one.batch)

    best = min(equals, key=lambda engine: median(runs(engine)[0].latencies_s))
    enough = AS_GOOD * max(cell.images_per_s for cell in runs(best))
    largest = next(cell.batch for cell in runs(best) if cell.images_per_s >= enough)
    return TunedPlan(best.backend, best.plan.instances, best.plan.threads, largest)


def _question(flags: argparse.Namespace, bundle: Bundle) -> Question:
    """The flags, with what was left open filled in for this machine and bundle.

    Raises:
        BackendError: none of the batch sizes fits the graph.
    """
    cores = available_cores()
    backends = tuple(flags.backend or (one for one in CPU_LINE if one in bundle.spec.runs_on))
    if flags.device == "cuda" and not flags.backend:
        backends = ("onnxruntime",)
    if flags.threads:
        plans = [ThreadPlan(max(1, cores // threads), threads) for threads in flags.threads]
    else:
        plans = candidate_plans(cores) if flags.device != "cuda" else [ThreadPlan(1, 1)]
    sizes = [size for size in sorted(set(flags.batch)) if size <= batch_limit(bundle.spec.input, MAX_BATCH)]
    if not sizes:
        raise BackendError(f"the graph takes at most {bundle.spec.input.max_batch} pictures at once: --batch 1")
    return Question(tuple(dict.fromkeys(backends)), tuple(dict.fromkeys(plans)), tuple(sizes), flags.device)


def _open_all(bundle: Bundle, question: Question, opened: ExitStack) -> tuple[list[Engine], list[tuple[str, str]]]:
    """An engine per backend and plan; ``opened`` closes them. A backend that fails once is not tried again."""
    engines: list[Engine] = []
    refused: list[tuple[str, str]] = []
    for backend in question.backends:
        try:
            engines += [_open(bundle, question, backend, plan, opened) for plan in question.plans]
        except BackendError as error:
            refused.append((backend, str(error)))
    if not engines:
        raise BackendError("\n".join(reason for _, reason in refused) or "this bundle names no engine that is here")
    return engines, refused


def _open(bundle: Bundle, question: Question, backend: str, plan: ThreadPlan, opened: ExitStack) -> Engine:
    options = BackendOptions(question.device, plan.threads, question.batches[-1])
    instances = []
    for _ in range(plan.instances):
        found = open_backend(bundle, options, backend)
        opened.callback(found.backend.close)
        instances.append(found)
    return Engine(plan, tuple(one.backend for one in instances), instances[0].label, instances[0].verdict.detail)


def _tune(report: Report) -> Report:
    """Choose and remember; says where on stderr.

    Raises:
        OSError: the cache folder can't be written.
    """
    plan = best_plan(report.cells)
    path = remember(report.bundle, plan)
    print(
        f"best here: {plan.backend}, {plan.instances} x {plan.threads} threads, batches up to {plan.max_batch_size}; "
        f"kept in {path}",
        file=sys.stderr,
    )
    return replace(report, tuned=plan)


def _progress() -> Callable[[int, int], None] | None:
    """A line that counts, on a terminal only."""
    if not sys.stderr.isatty():
        return None

    def show(done: int, planned: int) -> None:
        print(f"\rmeasuring {done}/{planned}", end="\n" if done == planned else "", file=sys.stderr, flush=True)

    return show


def _list_of(high: int) -> Callable[[str], tuple[int, ...]]:
    """An argparse type: whole numbers with commas between."""
    one = whole_number(1, high)
    return lambda text: tuple(one(part.strip()) for part in text.split(","))


def _failed(message: str) -> int:
    print(f"quickeye benchmark: {message}", file=sys.stderr)
    return 1
