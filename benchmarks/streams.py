"""Live frames: how many a second, and how old they are when they are answered, beside the same pictures posted.

For each number of streams, in turn and again: streams that send the next frame
when the last one is answered, as many callers that post the same pictures over
HTTP, and cameras at ``--fps`` under ``latest``, where the newest frame wins. The
client shares this machine's cores with the server.
"""

import argparse
import asyncio
import io
import statistics
from collections import Counter, defaultdict
from dataclasses import dataclass, field

import uvloop
from PIL import Image

from benchmarks.loads import add_serving_flags, photos, run, serving_flags
from benchmarks.machine import add_json_flag, publish
from benchmarks.served import Served
from benchmarks.stream_load import FramePlan, StreamCounts, run_streams
from server.load.run import ClosedLoop, LoadPlan
from server.percentiles import percentiles

FRAME_QUALITY = 85
LOADS = ("stream", "http", "camera")


@dataclass(slots=True)
class Found:
    """One kind of load at one number of streams, a figure for each round; milliseconds of all rounds together."""

    per_s: list[float] = field(default_factory=list)
    age_ms: list[float] = field(default_factory=list)
    round_trip_ms: list[float] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)
    cpu_ms: list[float] = field(default_factory=list)

    def add(self, streams: list[StreamCounts], seconds: float) -> None:
        """One round of streams."""
        self.per_s.append(sum(len(each.age_ms) for each in streams) / seconds)
        for each in streams:
            self.age_ms += each.age_ms
            self.round_trip_ms += each.round_trip_ms
            self.outcomes += each.outcomes


def frames_of(pictures: list[bytes], width: int, height: int) -> list[bytes]:
    """The pictures as a camera's JPEG frames of width × height px."""
    frames = []
    for picture in pictures:
        encoded = io.BytesIO()
        Image.open(io.BytesIO(picture)).convert("RGB").resize((width, height)).save(
            encoded, "JPEG", quality=FRAME_QUALITY
        )
        frames.append(encoded.getvalue())
    return frames


def make_parser() -> argparse.ArgumentParser:
    """The program's flags."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_serving_flags(parser)
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--fps", type=float, default=30.0, help="of each camera")
    parser.add_argument("--size", default="640x480", help="of a frame, WIDTHxHEIGHT px")
    parser.add_argument("--seconds", type=float, default=5.0, help="per round")
    parser.add_argument("--rounds", type=int, default=3)
    add_json_flag(parser)
    return parser


def one_round(
    served: Served, flags: argparse.Namespace, frames: list[bytes], load: str, streams: int, found: Found
) -> None:
    """One load for ``--seconds``, added to what was found."""
    before, answered_before = served.cpu_s(), found.outcomes["result"]
    if load == "http":
        report = run(served, frames, LoadPlan(ClosedLoop(streams), flags.seconds, 0.5))
        found.per_s.append(report.per_second(report.tally.finished_ok))
        found.round_trip_ms += [seconds * 1e3 for seconds in report.tally.ok]
        found.outcomes["result"] += len(report.tally.ok)
        found.outcomes.update(report.tally.by_error)
    else:
        plan = FramePlan("latest", flags.fps if load == "camera" else 0.0, flags.seconds)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            found.add(runner.run(run_streams(served, plan, frames, streams)), flags.seconds)
    answered = found.outcomes["result"] - answered_before
    found.cpu_ms.append((served.cpu_s() - before) * 1e3 / max(1, answered))


def measure(flags: argparse.Namespace) -> dict[tuple[int, str], Found]:
    """Every load at every number of streams, round after round."""
    width, height = (int(word) for word in flags.size.split("x"))
    frames = frames_of(photos(flags.images), width, height)
    found: dict[tuple[int, str], Found] = defaultdict(Found)
    with Served(*serving_flags(flags)) as served:
        one_round(served, flags, frames, "http", 2, Found())  # warms everything up; not counted
        for _ in range(flags.rounds):
            for streams in flags.streams:
                for load in LOADS:
                    one_round(served, flags, frames, load, streams, found[streams, load])
    return found


def summary(samples: list[float]) -> dict[str, float]:
    """p50 and p99 of milliseconds; what the number of samples does not allow is left out."""
    found = percentiles(samples)
    if found is None:
        return {}
    return {name: round(found.values[name], 2) for name in ("p50", "p99") if name in found.values}


def main() -> None:
    """Measure and print."""
    flags = make_parser().parse_args()
    found = measure(flags)
    lines = [f"frames of {flags.size}, median of {flags.rounds} × {flags.seconds:g} s; milliseconds as p50/p99"]
    rows = []
    for (streams, load), each in found.items():
        row = {
            "streams": streams,
            "load": load,
            "per_s": round(statistics.median(each.per_s), 1),
            "per_s_rounds": [round(rate, 1) for rate in each.per_s],
            "age_ms": summary(each.age_ms),
            "round_trip_ms": summary(each.round_trip_ms),
            "outcomes": dict(each.outcomes),
            "server_cpu_ms": round(statistics.median(each.cpu_ms), 2),
        }
        rows.append(row)
        age, trip = ("/".join(f"{ms:.1f}" for ms in row[name].values()) or "–" for name in ("age_ms", "round_trip_ms"))
        dropped = {name: count for name, count in each.outcomes.items() if count and name != "result"}
        what = f"camera {flags.fps:g}/s" if load == "camera" else load
        lines.append(
            f"  {streams:>3} × {what:<12} {row['per_s']:7.1f} answered/s   age {age:<12} round trip {trip:<12} "
            f"server {row['server_cpu_ms']:.1f} ms of CPU each   {dropped or ''}"
        )
    publish({"rows": rows, "size": flags.size, "fps": flags.fps, "seconds": flags.seconds}, lines, as_json=flags.json)


if __name__ == "__main__":
    main()
