"""Whether the metrics tell the truth: what Prometheus makes of them, beside what the load's own client counted.

A real server, a real Prometheus (Debian's) that scrapes it every second with the project's own rules, and Poisson
arrivals. Over the seconds that the client measured, the recording rules' own expressions, with their five minutes
replaced by these, are held against the client: rates within 2 %, percentiles within one bucket of the histogram. With
--seconds 300 they are the rules to the letter. The client counts from when a request was due, the server from its head.
"""

import argparse
import math
import re
import shutil
import tempfile
import time
from bisect import bisect_left
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.loads import add_serving_flags, photos, run, serving_flags
from benchmarks.machine import add_json_flag, publish
from benchmarks.served import Served
from server.load.report import LoadReport
from server.load.run import ClosedLoop, LoadPlan, OpenLoop
from server.metrics import LATENCY_BUCKETS_S
from tests.deploy.proved_prometheus import Prometheus, scraping

BAR_RATE = 0.02
BAR_BUCKETS = 1
WARMUP_S = 5.0
RATES = ("job_model:quickeye_requests:rate5m", "job_model:quickeye_images:rate5m")
QUANTILES = {name: f"job_model:quickeye_request_duration_seconds:{name}_rate5m" for name in ("p50", "p95", "p99")}


@dataclass(frozen=True, slots=True)
class Compared:
    """One figure, as the client has it and as Prometheus has it; seconds, or a rate."""

    name: str
    client: float
    prometheus: float
    within: bool


def over(prometheus: Prometheus, rule: str, when_s: float, seconds: int) -> float:
    """A rule's own expression over other seconds, at one moment.

    Raises:
        SystemExit: there is no such rule, or it has not one answer.
    """
    queries = [one["query"] for one in prometheus.rules() if one["name"] == rule]
    series = prometheus.at(re.sub(r"\[5m\]", f"[{seconds}s]", queries[0]), when_s) if queries else []
    if len(series) != 1:
        raise SystemExit(f"{rule} has {len(series)} answers")
    return float(series[0]["value"][1])


def bucket_of(seconds: float) -> int:
    """Which bucket of the histogram a latency falls into."""
    return bisect_left(LATENCY_BUCKETS_S, seconds)


def compare(report: LoadReport, prometheus: Prometheus, ended_s: float, seconds: int) -> list[Compared]:
    """Every rule of interest over the window that ended then.

    Raises:
        SystemExit: see ``over``, or nothing was answered.
    """
    own = report.latency("ok")
    if own is None:
        raise SystemExit(f"nothing was answered: {dict(report.tally.by_error)}")
    rate = report.per_second(report.tally.finished)
    found = []
    for rule in RATES:
        told = over(prometheus, rule, ended_s, seconds)
        found.append(Compared(rule, rate, told, abs(told / rate - 1) <= BAR_RATE))
    for name, rule in QUANTILES.items():
        mine, told = own.values.get(name, own.maximum), over(prometheus, rule, ended_s, seconds)
        found.append(Compared(rule, mine, told, abs(bucket_of(told) - bucket_of(mine)) <= BAR_BUCKETS))
    return found


def make_parser() -> argparse.ArgumentParser:
    """The program's flags."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_serving_flags(parser)
    parser.add_argument("--share", type=float, default=0.6, help="of the rate that a closed loop reaches")
    parser.add_argument("--rate", type=float, help="requests a second instead")
    parser.add_argument("--seconds", type=int, default=60, help="of each round")
    parser.add_argument("--rounds", type=int, default=3)
    add_json_flag(parser)
    return parser


def main() -> None:
    """Measure and print."""
    flags = make_parser().parse_args()
    if shutil.which("prometheus") is None:
        raise SystemExit("Prometheus is missing: apt-get install --no-install-recommends prometheus")
    pictures = photos(flags.images)
    rounds: list[list[Compared]] = []
    with tempfile.TemporaryDirectory() as folder, Served(*serving_flags(flags)) as served:
        rate = flags.rate or flags.share * capacity(served, pictures)
        with scraping(Path(folder), f"127.0.0.1:{served.port}") as prometheus:
            for seed in range(flags.rounds):
                plan = LoadPlan(OpenLoop(rate), float(flags.seconds), WARMUP_S, seed)
                began_s = time.time()
                report = run(served, pictures, plan)
                prometheus.wait_for_scrape()
                rounds.append(compare(report, prometheus, began_s + WARMUP_S + flags.seconds, flags.seconds))
    lines = [f"{flags.rounds} rounds of {flags.seconds} s at {rate:.1f} requests/s, a scrape a second"]
    for which, first in enumerate(rounds[0]):
        each = [compared[which] for compared in rounds]
        pairs = ", ".join(f"{one.client:.4g} / {one.prometheus:.4g}" for one in each)
        lines.append(f"  {first.name:<55} client / Prometheus: {pairs}: {_judged(each)}")
    result = {
        "rate_per_s": rate,
        "bar_rate": BAR_RATE,
        "bar_buckets": BAR_BUCKETS,
        "rounds": [[asdict(one) for one in compared] for compared in rounds],
        "all_within": all(one.within for compared in rounds for one in compared),
    }
    publish(result, lines, as_json=flags.json)


def capacity(served: Served, pictures: list[bytes]) -> float:
    """What a closed loop reaches in a few seconds.

    Raises:
        SystemExit: nothing was answered.
    """
    report = run(served, pictures, LoadPlan(ClosedLoop(8), 5.0, 1.0))
    rate = report.per_second(report.tally.finished_ok)
    if not rate or math.isinf(rate):
        raise SystemExit(f"nothing was answered: {dict(report.tally.by_error)}\n{served.log()}")
    return rate


def _judged(each: list[Compared]) -> str:
    return "ok" if all(one.within for one in each) else "MISSED"


if __name__ == "__main__":
    main()
