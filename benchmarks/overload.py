"""Twice the capacity: what is admitted stays quick, the rest is told so at once.

Capacity is what a closed loop reaches; then an open loop of Poisson arrivals
at ``--factor`` times it. Rounds of both alternate. The client shares this
machine's cores with the server; its own CPU is printed.
"""

import argparse
import statistics

from benchmarks.loads import add_serving_flags, photos, run, serving_flags
from benchmarks.machine import add_json_flag, publish, verdict
from benchmarks.served import Served
from server.load.report import LoadReport
from server.load.run import ClosedLoop, LoadPlan, OpenLoop

BAR_P99_S = 0.5
WARMUP_S = 2.0


def worst(reports: list[LoadReport], group: str, name: str) -> float:
    """The worst round's percentile of a group, in seconds; 0 when no round has samples."""
    summaries = [summary for report in reports if (summary := report.latency(group)) is not None]
    return max((summary.values.get(name, summary.maximum) for summary in summaries), default=0.0)


def strangers(report: LoadReport) -> dict[str, int]:
    """What ended neither with 200 nor with 429."""
    odd = {str(status): count for status, count in report.tally.by_status.items() if status not in (200, 429)}
    if report.tally.not_sent:
        odd["not_sent"] = report.tally.not_sent
    local = ("client_timeout", "connection_failed", "connection_closed", "bad_response")
    return odd | {name: report.tally.by_error[name] for name in local if report.tally.by_error[name]}


def make_parser() -> argparse.ArgumentParser:
    """The program's flags."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_serving_flags(parser)
    parser.add_argument("--factor", type=float, default=2.0, help="times the capacity")
    parser.add_argument("--connections", type=int, default=16, help="of the closed loop")
    parser.add_argument("--seconds", type=float, default=15.0, help="per round")
    parser.add_argument("--rounds", type=int, default=3)
    add_json_flag(parser)
    return parser


def measure(flags: argparse.Namespace) -> tuple[list[LoadReport], list[LoadReport]]:
    """Closed and open rounds in turn, each open one at ``factor`` times what the closed one before it reached.

    Raises:
        SystemExit: nothing was answered.
    """
    pictures = photos(flags.images)
    closed: list[LoadReport] = []
    opened: list[LoadReport] = []
    with Served(*serving_flags(flags)) as served:
        for seed in range(flags.rounds):
            shape = ClosedLoop(flags.connections)
            closed.append(run(served, pictures, LoadPlan(shape, flags.seconds, WARMUP_S, seed)))
            capacity = closed[-1].per_second(closed[-1].tally.finished_ok)
            if not capacity:
                raise SystemExit(f"nothing was answered: {dict(closed[-1].tally.by_error)}\n{served.log()}")
            load = OpenLoop(flags.factor * capacity)
            opened.append(run(served, pictures, LoadPlan(load, flags.seconds, WARMUP_S, seed)))
    return closed, opened


def ok_per_s(reports: list[LoadReport]) -> float:
    """The median round's pictures answered per second."""
    return statistics.median(report.per_second(report.tally.finished_ok) for report in reports)


def main() -> None:
    """Measure and print."""
    flags = make_parser().parse_args()
    closed, opened = measure(flags)
    capacity, goodput, p99 = ok_per_s(closed), ok_per_s(opened), worst(opened, "ok", "p99")
    refused = sum(len(report.tally.refused) for report in opened)
    odd = [strangers(report) for report in opened]
    lines = [
        f"capacity         {capacity:.1f} pictures/s, closed loop of {flags.connections}, "
        f"median of {flags.rounds} × {flags.seconds:g} s",
        f"at {flags.factor:g} times that, {goodput:.1f} pictures/s answered ({goodput / capacity:.0%} of the capacity)",
        f"  admitted       p50 {worst(opened, 'ok', 'p50') * 1e3:.0f} ms, p99 {p99 * 1e3:.0f} ms "
        f"(worst round; bar {BAR_P99_S * 1e3:g}): {verdict(p99, BAR_P99_S)}",
        f"  refused (429)  p50 {worst(opened, 'refused', 'p50') * 1e3:.1f} ms, "
        f"p99 {worst(opened, 'refused', 'p99') * 1e3:.1f} ms (worst round), {refused} of them",
        f"  anything else  {odd if any(odd) else 'none'}: {'MISSED' if any(odd) else 'ok'}",
    ]
    for report in opened:
        why = report.tally.bottleneck()
        share = report.tally.cpu_s * report.per_second(1)
        lines.append(f"  client         {share:.0%} of a core{'; ' + why if why else ''}")
    result = {
        "capacity_per_s": capacity,
        "goodput_per_s": goodput,
        "admitted_p99_s": p99,
        "bar_p99_s": BAR_P99_S,
        "anything_else": odd,
        "closed": [report.as_json() for report in closed],
        "open": [report.as_json() for report in opened],
    }
    publish(result, lines, as_json=flags.json)


if __name__ == "__main__":
    main()
