"""What a scrape of /metrics costs: its time in both formats, idle and at full load, and what requests feel of it.

Each round: scrapes of an idle server; scrapes, one after another with a pause, while a closed loop keeps the server
full; then Poisson arrivals at a share of what that loop reached, once with a scrape a second and once without, which of
them first in turn. The load runs in a process of its own. An effect on the 99th percentile is called measurable when
scraped rounds were slower all but without exception: a coin would fall so in one of 20 cases at most.
"""

import argparse
import http.client
import math
import multiprocessing
import statistics
import time
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field

from benchmarks.loads import add_serving_flags, photos, run, serving_flags
from benchmarks.machine import add_json_flag, publish, verdict
from benchmarks.served import Served
from server.load.report import LoadReport
from server.load.run import ClosedLoop, LoadPlan, OpenLoop
from server.percentiles import Percentiles, nearest_rank, percentiles

BAR_S = 0.020
CHANCE = 0.05
PAUSE_S = 0.2
SCRAPE_EVERY_S = 1.0
SHARE = 0.7
WARMUP_S = 1.0
FORMATS = {"text": "text/plain", "openmetrics": "application/openmetrics-text; version=1.0.0"}


@dataclass(frozen=True, slots=True)
class At:
    """What ``run`` needs of a server, for another process."""

    url: str


@dataclass
class Found:
    """Seconds of scrapes by when and format, their bytes, and the 99th percentiles of each round."""

    scrapes_s: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    size_bytes: dict[str, int] = field(default_factory=dict)
    per_s: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)  # of the server, for an idle scrape; of each round
    p99_s: dict[bool, list[float]] = field(default_factory=lambda: {True: [], False: []})


class Scraper:
    """One connection, as Prometheus keeps it."""

    def __init__(self, port: int, found: Found) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self._found = found
        self._turn = 0

    def scrape(self, when: str) -> None:
        """Once, the formats in turn.

        Raises:
            SystemExit: the server did not answer with 200.
        """
        name = list(FORMATS)[self._turn % len(FORMATS)]
        self._turn += 1
        began = time.perf_counter()
        self._connection.request("GET", "/metrics", headers={"Accept": FORMATS[name]})
        reply = self._connection.getresponse()
        body = reply.read()
        elapsed = time.perf_counter() - began
        if reply.status != 200:
            raise SystemExit(f"/metrics said {reply.status}")
        self._found.scrapes_s.setdefault((when, name), []).append(elapsed)
        self._found.size_bytes[name] = len(body)

    def until(self, load: "Future[LoadReport]", when: str, pause_s: float) -> LoadReport:
        """Scrape while a load runs."""
        while not load.done():
            self.scrape(when)
            time.sleep(pause_s)
        return load.result()


def one_round(
    served: Served, scraper: Scraper, pool: ProcessPoolExecutor, found: Found, load: "Load", seed: int
) -> None:
    """Idle, full, then scraped and unscraped.

    Raises:
        SystemExit: nothing was answered.
    """
    until, before_s, scrapes = time.perf_counter() + load.seconds, served.cpu_s(), 0
    while time.perf_counter() < until:
        scraper.scrape("idle")
        scrapes += 1
        time.sleep(PAUSE_S)
    found.cpu_s.append((served.cpu_s() - before_s) / scrapes)
    full = LoadPlan(ClosedLoop(load.connections), load.seconds, WARMUP_S, seed)
    report = scraper.until(pool.submit(run, At(served.url), load.pictures, full), "full", PAUSE_S)
    rate = report.per_second(report.tally.finished_ok)
    if not rate:
        raise SystemExit(f"nothing was answered: {dict(report.tally.by_error)}\n{served.log()}")
    found.per_s.append(rate)
    steady = LoadPlan(OpenLoop(SHARE * rate), load.seconds, WARMUP_S, seed)
    for scraped in (True, False) if seed % 2 else (False, True):
        running = pool.submit(run, At(served.url), load.pictures, steady)
        report = scraper.until(running, "steady", SCRAPE_EVERY_S) if scraped else running.result()
        samples = sorted(report.tally.ok)
        if not samples:
            raise SystemExit(f"nothing was answered: {dict(report.tally.by_error)}\n{served.log()}")
        found.p99_s[scraped].append(nearest_rank(samples, 990))


@dataclass(frozen=True, slots=True)
class Load:
    """What every round sends."""

    pictures: list[bytes]
    connections: int
    seconds: float


def chance_of(slower: int, rounds: int) -> float:
    """That a fair coin falls on one side at least so often: the sign test."""
    return sum(math.comb(rounds, count) for count in range(slower, rounds + 1)) / 2**rounds


def make_parser() -> argparse.ArgumentParser:
    """The program's flags."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_serving_flags(parser)
    parser.add_argument("--connections", type=int, default=16, help="of the closed loop")
    parser.add_argument("--seconds", type=float, default=15.0, help="of each part of a round")
    parser.add_argument("--rounds", type=int, default=7)
    add_json_flag(parser)
    return parser


def main() -> None:
    """Measure and print."""
    flags = make_parser().parse_args()
    found = Found()
    load = Load(photos(flags.images), flags.connections, flags.seconds)
    with (
        Served(*serving_flags(flags)) as served,
        ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool,
    ):
        scraper = Scraper(served.port, found)
        for seed in range(flags.rounds):
            one_round(served, scraper, pool, found, load, seed)
    publish(result_of(found, flags.rounds), lines_of(found, flags.rounds), as_json=flags.json)


def summary_of(found: Found, when: str, name: str) -> Percentiles:
    """Of one kind of scrapes; there is at least one.

    Raises:
        SystemExit: there is none.
    """
    summary = percentiles(found.scrapes_s.get((when, name), []))
    if summary is None:
        raise SystemExit(f"no scrape of {name} while {when}: --seconds must be more")
    return summary


def lines_of(found: Found, rounds: int) -> list[str]:
    """For people."""
    lines = [f"{rounds} rounds; full load: {statistics.median(found.per_s):.1f} pictures/s"]
    for when in ("idle", "full"):
        for name in FORMATS:
            summary = summary_of(found, when, name)
            p95 = summary.values.get("p95", summary.maximum)
            judged = f" (bar {BAR_S * 1e3:g}): {verdict(p95, BAR_S)}" if when == "full" else ""
            lines.append(
                f"  scrape, {when:<5} {name:<12} p50 {summary.values['p50'] * 1e3:6.1f} ms, p95 {p95 * 1e3:6.1f} ms"
                f"{judged}; max {summary.maximum * 1e3:.1f}, n {summary.n}, {found.size_bytes[name]} B"
            )
    lines.append(f"  CPU of the server for a scrape, both formats, idle: {statistics.median(found.cpu_s) * 1e3:.1f} ms")
    with_s, without_s = found.p99_s[True], found.p99_s[False]
    ratios = [scraped / alone for scraped, alone in zip(with_s, without_s, strict=True)]
    chance = chance_of(sum(ratio > 1 for ratio in ratios), len(ratios))
    lines.append(
        f"  p99 of requests at {SHARE:.0%} load: {statistics.median(without_s) * 1e3:.1f} ms, with a scrape a second "
        f"{statistics.median(with_s) * 1e3:.1f} ms; ratios of the rounds {', '.join(f'{one:.2f}' for one in ratios)}, "
        f"median {statistics.median(ratios):.2f}: {'MEASURABLE' if chance <= CHANCE else 'not measurable'} "
        f"(as likely by chance: {chance:.0%})"
    )
    return lines


def result_of(found: Found, rounds: int) -> dict[str, object]:
    """For programs; milliseconds."""
    return {
        "rounds": rounds,
        "capacity_per_s": found.per_s,
        "bar_ms": BAR_S * 1e3,
        "scrape_ms": {
            when: {name: summary_of(found, when, name).as_json(scale=1e3) for name in FORMATS}
            for when in ("idle", "full")
        },
        "cpu_ms": [one * 1e3 for one in found.cpu_s],
        "bytes": found.size_bytes,
        "p99_ms": [one * 1e3 for one in found.p99_s[False]],
        "p99_scraped_ms": [one * 1e3 for one in found.p99_s[True]],
    }


if __name__ == "__main__":
    main()
