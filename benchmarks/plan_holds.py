"""Whether a plan holds: what `quickeye plan` foretells of this machine, beside what a load finds.

Each round measures the times as `quickeye plan` does, plans with them, and loads a server with Poisson arrivals. Held
against it are the 99th percentile at shares of the planned rate, and the rate itself: the load climbs a ladder around
it, and where its 99th percentile crosses the objective is what the machine can do. A refused request counts as
infinitely late, there as here.

A 99th percentile at seven tenths of the largest rate moves three times as much as the machine's speed, and of two
thousand requests one crowd's lies a fifth above the next one's. So the times are measured again just before each load
of a share, and the plan is asked about the very arrivals that the load sends. A machine that is slower under the load
than it was before shows as a gap between the two rows of a share: the second is told by `/metrics` how long batches
took, as `quickeye plan --from URL` is. The server has all cores but the last, the client the last one; with one core
they share it, and that is printed.

``--steady`` puts an engine that sleeps in the model's place: what other machines take of this one's speed is then out
of its times, and what remains is the plan's own error, of the batcher, the HTTP loop and the arrivals.
"""

import argparse
import math
import os
import statistics
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import takewhile
from pathlib import Path

from benchmarks.loads import add_serving_flags, photos, run, serving_flags
from benchmarks.machine import add_json_flag, publish, taken_s, taken_share, verdict
from benchmarks.served import Served
from model_zoo.bundle import Bundle
from model_zoo.header import PictureLimits, read_header
from model_zoo.store import Store, shipped_store
from server.admission import BatchLimits
from server.commands.predict import find_model
from server.config import Config
from server.load.arrivals import arrivals
from server.load.report import LoadReport
from server.load.run import LoadPlan, OpenLoop
from server.percentiles import nearest_rank
from server.planning.from_metrics import read_metrics
from server.planning.measure import measure
from server.planning.measured import Measured
from server.planning.search import check_possible, floor_s, largest_rate
from server.planning.simulate import Machine, simulate_arrivals

BAR = 0.15
SHARES = (0.5, 0.7)
LADDER = (0.7, 0.85, 1.0, 1.15, 1.3)
OBJECTIVE_FLOORS = 3.0
WARMUP_S = 2.0
TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Held:
    """A figure of one round, foretold and found; in its own unit."""

    name: str
    planned: float
    found: float

    @property
    def ratio(self) -> float:
        """Found over planned."""
        return self.found / self.planned


def cores() -> tuple[set[int], set[int]]:
    """Those of the server, and the client's."""
    mine = sorted(os.sched_getaffinity(0))
    return set(mine[:-1] or mine), {mine[-1]}


@contextmanager
def on(which: set[int]) -> Iterator[None]:
    """Run on these cores, with every process and thread that is started meanwhile."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, which)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def p99_s(report: LoadReport) -> float:
    """Of all requests, the refused and lost at infinity; of fewer than 100, the worst.

    Raises:
        SystemExit: there are none.
    """
    tally = report.tally
    samples = sorted(tally.ok) + [math.inf] * (tally.requests - len(tally.ok) + tally.not_sent)
    if not samples:
        raise SystemExit("nothing was sent: --seconds must be more")
    return nearest_rank(samples, 990)


def crossing(rates: list[float], p99s: list[float], objective_s: float) -> float:
    """The rate at which the 99th percentile passes the objective, by straight lines in its logarithm.

    Infinite beyond the ladder's end, 0 below its foot; a step down to infinity counts as the middle between.
    """
    if p99s[0] > objective_s:
        return 0.0
    for at in range(1, len(rates)):
        low, high = p99s[at - 1], p99s[at]
        if high > objective_s:
            share = 0.5 if math.isinf(high) else math.log(objective_s / low) / math.log(high / low)
            return rates[at - 1] + share * (rates[at] - rates[at - 1])
    return math.inf


def told_by_metrics(served: Served, measured: Measured) -> Measured:
    """The times as the server has met them so far; what its metrics do not tell, as measured.

    Raises:
        PlanningError: its metrics do not tell of the model.
    """
    with urllib.request.urlopen(f"{served.url}/metrics", timeout=TIMEOUT_S) as reply:
        text = reply.read().decode()
    told = read_metrics(text, measured.model, served.url, measured.date)
    return replace(measured, batch_s=told.batch_s, spread=told.spread)


def steady_options(steady_ms: list[float] | None) -> tuple[str, ...]:
    """Those that make the ``fake`` engine sleep so long for a batch and for each of its pictures."""
    if not steady_ms:
        return ()
    batch_ms, picture_ms = steady_ms
    return (f"fake.delay_ms={batch_ms}", f"fake.delay_per_image_ms={picture_ms}")


def one_round(
    flags: argparse.Namespace, bundle: Bundle, pictures: list[bytes], seed: int
) -> tuple[Measured, list[Held]]:
    """Measure, plan, load.

    Raises:
        SystemExit: see ``p99_s``.
    """
    server_cores, client_cores = cores()
    headed = [(data, read_header(data, PictureLimits())) for data in pictures]

    engine = "fake" if flags.steady else flags.backend or "auto"
    config = Config(backend=engine, backend_options=steady_options(flags.steady))

    def measure_now() -> Measured:
        with on(server_cores):
            return measure(bundle, headed, config, flags.measure_seconds)

    measured = measure_now()
    objective_s = flags.p99 / 1e3 if flags.p99 else OBJECTIVE_FLOORS * floor_s(measured)
    check_possible(measured, objective_s)
    limits = BatchLimits(max_batch_size=max(measured.batch_s))
    machine = Machine(len(server_cores), measured.instances, measured.threads, limits)
    most = largest_rate(machine, measured, objective_s)
    if not most:
        raise SystemExit(f"no rate meets a p99 of {objective_s * 1e3:.1f} ms here: ask for a later one with --p99")
    held: list[Held] = []
    with ExitStack() as stack:
        with on(server_cores):
            options = [word for option in config.backend_options for word in ("--backend-option", option)]
            served = stack.enter_context(Served(*serving_flags(flags), "--backend", config.backend, *options))

        def found_s(rate: float) -> float:
            with on(client_cores):
                return p99_s(run(served, pictures, LoadPlan(OpenLoop(rate), flags.seconds, WARMUP_S, seed)))

        def planned_s(times: Measured, rate: float) -> float:
            due_s = list(takewhile(lambda at: at < WARMUP_S + flags.seconds, arrivals("poisson", rate, seed)))
            uncounted = sum(at < WARMUP_S for at in due_s)
            return simulate_arrivals(machine, times, due_s, uncounted, seed).percentile(990)

        for share in flags.shares:
            rate = share * most
            now = measure_now()
            found = found_s(rate)
            held.append(Held(f"p99 at {share:.0%}, ms", planned_s(now, rate) * 1e3, found * 1e3))
            told = told_by_metrics(served, now)
            held.append(Held(f"p99 at {share:.0%}, by metrics", planned_s(told, rate) * 1e3, found * 1e3))
        rates = [step * most for step in flags.ladder]
        held.append(Held("largest rate, /s", most, crossing(rates, [found_s(rate) for rate in rates], objective_s)))
    return measured, held


def make_parser() -> argparse.ArgumentParser:
    """The program's flags."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_serving_flags(parser)
    parser.add_argument("--p99", type=float, metavar="MS", help="objective (3 times that of a picture alone)")
    parser.add_argument("--seconds", type=float, default=30.0, help="of each load")
    parser.add_argument("--measure-seconds", type=float, default=20.0, help="of measuring for a plan")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--shares", type=float, nargs="+", default=SHARES, help="of the planned rate, for its p99")
    parser.add_argument("--ladder", type=float, nargs="+", default=LADDER, help="steps around the planned rate")
    parser.add_argument(
        "--steady", type=float, nargs=2, metavar=("MS", "MS"), help="an engine that sleeps: a batch, and each picture"
    )
    add_json_flag(parser)
    return parser


def main() -> None:
    """Measure and print."""
    flags = make_parser().parse_args()
    bundle = find_model(Store(Path(flags.store)) if flags.store else shipped_store(), flags.model)
    pictures = photos(flags.images)
    rounds, taken = [], []
    for seed in range(flags.rounds):
        before = taken_s()
        rounds.append(one_round(flags, bundle, pictures, seed))
        taken.append(taken_share(before, taken_s()))
    server_cores, client_cores = cores()
    shared = "; the client shares them" if server_cores & client_cores else ""
    engine = "an engine that sleeps" if flags.steady else bundle.spec.name
    lines = [f"{engine}, {len(server_cores)} cores for the server{shared}; {flags.rounds} rounds, medians"]
    lines.append(f"  taken by other machines meanwhile: {', '.join(f'{share:.1%}' for share in taken)} of the cores")
    rows = []
    for which in range(len(rounds[0][1])):
        each = [held[which] for _, held in rounds]
        ratio = statistics.median(one.ratio for one in each)
        planned, found = (statistics.median(getattr(one, name) for one in each) for name in ("planned", "found"))
        rows.append({"name": each[0].name, "planned": planned, "found": found, "ratio": ratio})
        spread = ", ".join(f"{one.ratio:.2f}" for one in each)
        lines.append(
            f"  {each[0].name:<22} planned {planned:8.1f}, found {found:8.1f}: {ratio - 1:+.0%} ({spread}; "
            f"bar {BAR:.0%}): {verdict(abs(ratio - 1), BAR)}"
        )
    result = {
        "model": engine,
        "server_cores": len(server_cores),
        "shared": bool(shared),
        "bar": BAR,
        "rows": [_finite(row) for row in rows],
        "taken": taken,
        "rounds": [[_finite(asdict(one)) for one in held] for _, held in rounds],
    }
    publish(result, lines, as_json=flags.json)


def _finite(row: dict[str, object]) -> dict[str, object]:
    """JSON knows no infinity."""
    return {name: None if value == math.inf else value for name, value in row.items()}


if __name__ == "__main__":
    main()
