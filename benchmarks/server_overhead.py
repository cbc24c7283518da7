"""What a request costs the server besides the model: CPU per request with the fake backend and a 2 kB body.

CPU of the server process, all threads, from /proc/PID/stat, over the requests
it answered. Decoding and preprocessing of the small picture are part of it;
what they cost alone is measured in this process, beside it. So that this is
little, the model's input is 8×8 pixels. In turn with it runs the least that a
Python server can do with the same body (`bare_server.py`).
"""

import argparse
import statistics
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.loads import run, small_jpeg
from benchmarks.machine import add_json_flag, publish, verdict
from benchmarks.served import Served
from model_zoo.header import PictureLimits, read_header
from model_zoo.preprocess import prepare
from model_zoo.spec import InputSpec
from model_zoo.store import Store
from server.commands.predict import find_model
from server.load.run import ClosedLoop, LoadPlan
from tests.server.mean_colour import write_mean_colour

BAR_US = 250.0


def prepare_us(picture: bytes, spec: InputSpec, repeats: int = 2000) -> float:
    """CPU of header, decode and preprocessing alone, in this process, in microseconds."""
    limits = PictureLimits()
    before = time.process_time()
    for _ in range(repeats):
        prepare(picture, read_header(picture, limits), spec)
    return (time.process_time() - before) / repeats * 1e6


def server_us(served: Served, picture: bytes, connections: int, seconds: float) -> tuple[float, float]:
    """CPU per request in microseconds, and requests per second.

    Raises:
        SystemExit: something else than 200 came back.
    """
    before = served.cpu_s()
    report = run(served, [picture], LoadPlan(ClosedLoop(connections), seconds))
    spent = served.cpu_s() - before
    if len(report.tally.ok) != report.tally.requests:
        raise SystemExit(f"not all were answered: {dict(report.tally.by_error)}\n{served.log()}")
    return spent / report.tally.requests * 1e6, report.per_second(report.tally.finished)


def make_parser() -> argparse.ArgumentParser:
    """The program's flags."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bytes", type=int, default=2000, help="of the body")
    parser.add_argument("--side", type=int, default=96, help="of the picture, px")
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--seconds", type=float, default=3.0, help="per round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--store", metavar="DIR", help="folder of bundles (default: a model of 8×8 pixels, made here)")
    parser.add_argument("--model", metavar="NAME", help="model of the store")
    parser.add_argument("serve_flags", nargs="*", metavar="-- FLAG", help="more flags for quickeye serve, after --")
    add_json_flag(parser)
    return parser


@dataclass
class Rounds:
    """What each round found; per number of connections where that matters."""

    alone_us: list[float] = field(default_factory=list)
    cpu_us: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    bare_us: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    per_s: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))


def measure(flags: argparse.Namespace, picture: bytes) -> Rounds:
    """Preparing alone, then the server at every number of connections, and again."""
    with tempfile.TemporaryDirectory() as folder:
        if not flags.store:
            write_mean_colour(Path(folder))
        return measure_with(flags, picture, flags.store or folder)


def measure_with(flags: argparse.Namespace, picture: bytes, store: str) -> Rounds:
    """As ``measure``, of a store that is there."""
    spec = find_model(Store(Path(store)), flags.model).spec.input
    named = ["--store", store, *(["--model", flags.model] if flags.model else [])]
    found = Rounds()
    with (
        Served("--backend", "fake", *named, *flags.serve_flags) as served,
        Served("--store", store, program=("benchmarks.bare_server",)) as bare,
    ):
        for server in (served, bare):
            run(server, [picture], LoadPlan(ClosedLoop(4), 1.0))
        for _ in range(flags.rounds):
            found.alone_us.append(prepare_us(picture, spec))
            for connections in flags.connections:
                cost, rate = server_us(served, picture, connections, flags.seconds)
                found.cpu_us[connections].append(cost)
                found.per_s[connections].append(rate)
                found.bare_us[connections].append(server_us(bare, picture, connections, flags.seconds)[0])
    return found


def main() -> None:
    """Measure and print."""
    flags = make_parser().parse_args()
    picture = small_jpeg(flags.bytes, flags.side)
    found = measure(flags, picture)
    alone = statistics.median(found.alone_us)
    lines = [
        f"server CPU per request, fake backend, {len(picture)} B JPEG of {flags.side}×{flags.side} px, "
        f"median of {flags.rounds} × {flags.seconds:g} s (bar {BAR_US:g} µs):"
    ]
    rows = []
    for connections, costs in found.cpu_us.items():
        cost, rate = statistics.median(costs), statistics.median(found.per_s[connections])
        bare = statistics.median(found.bare_us[connections])
        rows.append({"connections": connections, "cpu_us": cost, "per_s": rate, "all_cpu_us": costs, "bare_us": bare})
        lines.append(
            f"  {connections:>3} connections  {cost:7.1f} µs  (from {min(costs):.1f} to {max(costs):.1f}), "
            f"{rate:.0f} requests/s: {verdict(cost, BAR_US)}; the bare server {bare:.0f} µs"
        )
    lines.append(f"  of which header, decode and preprocessing, measured alone: {alone:.1f} µs")
    publish({"bytes": len(picture), "bar_us": BAR_US, "rows": rows, "prepare_us": alone}, lines, as_json=flags.json)


if __name__ == "__main__":
    main()
