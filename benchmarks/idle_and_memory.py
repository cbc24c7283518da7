"""What a server costs when nobody asks, how much memory it ever took, and how soon it is ready.

Start to ready: from the process's start to the first 200 of ``/readyz``.
Idle: CPU of all its threads over ``--idle`` seconds with no request at all.
Peak memory: VmHWM after a load of real photos.
"""

import argparse
import statistics
import time

from benchmarks.loads import add_serving_flags, photos, run, serving_flags
from benchmarks.machine import add_json_flag, publish, verdict
from benchmarks.served import Served
from server.load.run import ClosedLoop, LoadPlan

BAR_READY_S = 3.0
BAR_IDLE_CORES = 0.01
BAR_PEAK_MB = 350.0


def idle_cores(served: Served, seconds: float) -> float:
    """CPU seconds per second while nothing is asked."""
    time.sleep(1.0)
    before, began = served.cpu_s(), time.perf_counter()
    time.sleep(seconds)
    return (served.cpu_s() - before) / (time.perf_counter() - began)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_serving_flags(parser)
    parser.add_argument("--idle", type=float, default=30.0, help="seconds, before the load and after it")
    parser.add_argument("--seconds", type=float, default=10.0, help="of load")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--starts", type=int, default=5)
    add_json_flag(parser)
    flags = parser.parse_args()
    pictures = photos(flags.images)
    starts: list[float] = []
    for _ in range(flags.starts - 1):
        with Served(*serving_flags(flags)) as served:
            starts.append(served.start_to_ready_s)
    with Served(*serving_flags(flags)) as served:
        starts.append(served.start_to_ready_s)
        fresh_mb = served.peak_mb()
        before = idle_cores(served, flags.idle)
        report = run(served, pictures, LoadPlan(ClosedLoop(flags.connections), flags.seconds))
        if not report.succeeded:
            raise SystemExit(f"nothing was answered: {dict(report.tally.by_error)}\n{served.log()}")
        peak_mb = served.peak_mb()
        after = idle_cores(served, flags.idle)
    ready, idle = statistics.median(starts), max(before, after)
    lines = [
        f"start to ready   {ready:.2f} s, median of {len(starts)} (from {min(starts):.2f} to {max(starts):.2f}; "
        f"bar {BAR_READY_S:g}): {verdict(ready, BAR_READY_S)}",
        f"idle             {before:.4f} core fresh, {after:.4f} after load, {flags.idle:g} s each "
        f"(bar {BAR_IDLE_CORES:g}): {verdict(idle, BAR_IDLE_CORES)}",
        f"peak memory      {peak_mb:.0f} MB after {len(report.tally.ok)} pictures, {fresh_mb:.0f} MB when ready "
        f"(bar {BAR_PEAK_MB:g}): {verdict(peak_mb, BAR_PEAK_MB)}",
    ]
    result = {
        "start_to_ready_s": {"median": ready, "all": starts, "bar": BAR_READY_S},
        "idle_cores": {"fresh": before, "after_load": after, "seconds": flags.idle, "bar": BAR_IDLE_CORES},
        "peak_mb": {"after_load": peak_mb, "ready": fresh_mb, "pictures": len(report.tally.ok), "bar": BAR_PEAK_MB},
    }
    publish(result, lines, as_json=flags.json)


if __name__ == "__main__":
    main()
