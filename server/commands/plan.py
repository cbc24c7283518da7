"""``quickeye plan [MODEL] --rate R --p99 MS``: how many machines for how many pictures a second, and how quick.

Where the times come from: a running server, a file, or they are measured now. How it is planned: ``server/planning``.
"""

import argparse
import datetime
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import httpx

from model_zoo.errors import BundleError, PictureError, UnknownModelError
from model_zoo.store_flag import store_to_read
from server.backends import BACKENDS
from server.backends.errors import BackendError
from server.backends.threads import available_cores
from server.benchmark import find_bundle
from server.benchmark_pictures import encoded_pictures
from server.config import Config
from server.errors import ServingError
from server.number_flag import number, whole_number
from server.planning.errors import PlanningError
from server.planning.from_file import read_file
from server.planning.from_metrics import read_metrics
from server.planning.measure import measure
from server.planning.measured import Measured
from server.planning.report import PlanReport
from server.planning.search import Objective, machines_of, plans
from server.planning.simulate import Machine

MAX_RATE = 1e6
MAX_CORES = 1024
FETCH_TIMEOUT_S = 10.0
USUAL_CORES = (1, 2, 4, 8)
OF_MEASURING = ("store", "images", "backend", "device", "seconds")


def make_parser() -> argparse.ArgumentParser:
    """The command's flags."""
    parser = argparse.ArgumentParser(
        prog="quickeye plan", description="How many machines for how many pictures a second, and how quick."
    )
    parser.add_argument(
        "model",
        metavar="MODEL",
        nargs="?",
        help="NAME or NAME/VERSION in the store, or a bundle's folder (the only one there is)",
    )
    parser.add_argument("--rate", type=number(0.001, MAX_RATE), required=True, help="pictures a second, in all")
    parser.add_argument(
        "--p99", type=number(0.01, 3.6e6), required=True, metavar="MS", help="within which 99 in 100 are answered"
    )
    parser.add_argument("--headroom", type=number(0, 900), default=20.0, metavar="PERCENT", help="kept free (20)")
    parser.add_argument(
        "--cores",
        type=whole_number(1, MAX_CORES),
        nargs="+",
        metavar="N",
        help="of a machine (1 2 4 8, and this one)",
    )
    parser.add_argument("--max-batch-size", type=whole_number(1, 256), metavar="N", help="most pictures run together")
    source = parser.add_argument_group("where the times come from (default: measured now)")
    source.add_argument(
        "--from", dest="source", metavar="URL|FILE", help="a running server, or what benchmark or plan --json printed"
    )
    source.add_argument("--request-ms", type=number(0, 1e4), metavar="MS", help="CPU of the HTTP loop for a request")
    source.add_argument("--added-ms", type=number(0, 1e4), metavar="MS", help="what a lone caller waits besides")
    now = parser.add_argument_group("when they are measured now")
    now.add_argument("--store", type=Path, metavar="DIR", help="folder of bundles (default: the shipped bundles)")
    now.add_argument("--images", type=Path, metavar="DIR", help="decode these pictures (default: made ones)")
    now.add_argument("--backend", choices=("auto", *BACKENDS), default="auto", help="engine (auto)")
    now.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="where to run (auto)")
    now.add_argument("--seconds", type=number(0.1, 3600), default=20.0, metavar="S", help="of measuring (20)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


def main(arguments: list[str]) -> int:
    """Run the command; 0: there is a plan, 1: none meets the objective, or no times to plan with, 2: usage."""
    parser = make_parser()
    flags = parser.parse_args(arguments)
    if flags.source and any(getattr(flags, name) != parser.get_default(name) for name in OF_MEASURING):
        parser.error(f"--{', --'.join(OF_MEASURING)} belong to measuring now, not to --from")
    try:
        measured = _with_flags(_measured(flags), flags)
        report = _planned(flags, measured)
    except (PlanningError, UnknownModelError, BundleError, BackendError, PictureError, ServingError) as error:
        return _failed(str(error))
    except (OSError, ValueError) as error:
        return _failed(str(error))
    print(json.dumps(report.as_json(), indent=2) if flags.json else report.as_text())
    return 0 if report.plans else _failed("no plan meets the objective")


def fetch(url: str, model: str | None) -> Measured:
    """The times of a running server: its ``/metrics``, and how many instances its catalogue tells of.

    Raises:
        PlanningError: it does not answer, or does not serve the model; or None is named and it serves several.
    """
    base = url.rstrip("/").removesuffix("/metrics")
    name = model.partition("/")[0] if model is not None else "a model"
    try:
        with httpx.Client(timeout=FETCH_TIMEOUT_S, trust_env=False) as client:
            if model is None:
                entries = client.get(f"{base}/v1/models").raise_for_status().json()["models"]
                name = _the_only([each["name"] for each in entries if each["version"] is not None], base)
            text = client.get(f"{base}/metrics").raise_for_status().text
            entry = client.get(f"{base}/v1/models/{name}").raise_for_status().json()
        engine = entry["engine"]
        instances, threads = int(engine["instances"]), int(engine["threads"])
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise PlanningError(f"no times from {base}: {error}") from None
    except (KeyError, TypeError, ValueError) as error:
        raise PlanningError(f"{base} does not tell of model '{name}' as a Quickeye server does: {error}") from None
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    return read_metrics(text, name, base, today, instances=instances, threads=threads, machine="that of the server")


def _measured(flags: argparse.Namespace) -> Measured:
    if flags.source is None:
        store = store_to_read(flags.store)
        bundle = find_bundle(flags.model or _the_only(store.names(), str(store.root)), flags.store)
        pictures, _ = encoded_pictures(bundle, flags.images)
        config = Config(device=flags.device, backend=flags.backend, max_batch_size=flags.max_batch_size or 0)
        _say(f"measuring for {flags.seconds:g} s")
        return measure(bundle, pictures, config, flags.seconds)
    if "://" in flags.source:
        return fetch(flags.source, flags.model)
    return read_file(Path(flags.source), flags.model)


def _the_only(names: Sequence[str], where: str) -> str:
    """The name of the model that nobody named.

    Raises:
        PlanningError: there is not exactly one.
    """
    if len(names) != 1:
        raise PlanningError(f"which MODEL? in {where} there are: {', '.join(names) or 'none'}")
    return names[0]


def _with_flags(measured: Measured, flags: argparse.Namespace) -> Measured:
    """Costs of a request as they were given, and no word any more of their being assumed."""
    given = {"request_s": flags.request_ms, "added_s": flags.added_ms}
    told = {name: value / 1e3 for name, value in given.items() if value is not None}
    notes = measured.notes if len(told) < 2 else tuple(note for note in measured.notes if "assumed" not in note)
    return replace(measured, notes=notes, **told)


def _planned(flags: argparse.Namespace, measured: Measured) -> PlanReport:
    objective = Objective(flags.rate, flags.p99 / 1e3, flags.headroom / 100)
    if flags.cores and measured.device != "cpu":
        raise PlanningError(f"the times are of {measured.device}: machines differ in GPUs, leave --cores out")
    cores = sorted(set(flags.cores or (*USUAL_CORES, available_cores() if flags.source is None else measured.cores)))
    machines = machines_of(measured, cores, flags.max_batch_size or max(measured.batch_s))
    if not machines:
        raise PlanningError(f"one instance takes {measured.threads} threads: no machine of {cores} cores has so many")
    return PlanReport(measured, objective, plans(measured, machines, objective, _progress()))


def _progress() -> Callable[[Machine], None] | None:
    if not sys.stderr.isatty():
        return None
    return lambda machine: _say(f"planning {machine.cores or 'GPU'} cores, batch {machine.limits.max_batch_size}")


def _say(text: str) -> None:
    if sys.stderr.isatty():
        print(text, file=sys.stderr, flush=True)


def _failed(message: str) -> int:
    print(f"quickeye plan: {message}", file=sys.stderr)
    return 1
