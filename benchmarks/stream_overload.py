"""Cameras into a server that can do a quarter of them: who gets what, how old it is, and what a post beside them gets.

The engine is the fake one with a fixed time per picture, so that the capacity is
known. Every frame must get exactly one event, no result may be older than
``max_frame_age_ms``, each stream's share must lie within 10 % of the mean, and a
caller who posts beside them must be answered in time.
"""

import argparse
import asyncio
import statistics
import tempfile
from collections import Counter
from pathlib import Path

import uvloop

from benchmarks.loads import small_jpeg
from benchmarks.machine import add_json_flag, publish
from benchmarks.served import Served
from benchmarks.stream_load import FramePlan, StreamCounts, run_streams
from server.load.client import Client
from server.loadtest import parse_target
from server.percentiles import percentiles
from tests.server.mean_colour import write_mean_colour

FAIR = 0.10
POST_EVERY_S = 0.1


async def post_beside(
    served: Served, picture: bytes, deadline_s: float, until: asyncio.Event
) -> list[tuple[bool, float]]:
    """A caller that posts ten times a second; (answered with 200, seconds) of each."""
    target = parse_target(served.url, {"timeout_ms": str(int(deadline_s * 1e3))})
    client = Client(target, timeout_s=10 * deadline_s)
    clock = asyncio.get_running_loop().time
    found: list[tuple[bool, float]] = []
    try:
        while not until.is_set():
            began_s = clock()
            answer = await client.ask(target.request(picture))
            found.append((answer.ok, clock() - began_s))
            await asyncio.sleep(max(0.0, POST_EVERY_S - (clock() - began_s)))
    finally:
        await client.close()
    return found


async def one_round(
    served: Served, flags: argparse.Namespace, picture: bytes
) -> tuple[list[StreamCounts], list[tuple[bool, float]]]:
    """All cameras and the caller, for ``--seconds``."""
    over = asyncio.Event()
    posting = asyncio.create_task(post_beside(served, picture, flags.deadline_ms / 1e3, over))
    streams = await run_streams(served, FramePlan("latest", flags.fps, flags.seconds), [picture], flags.streams)
    over.set()
    return streams, await posting


def make_parser() -> argparse.ArgumentParser:
    """The program's flags."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=8)
    parser.add_argument("--fps", type=float, default=30.0, help="of each stream")
    parser.add_argument("--capacity", type=float, default=60.0, help="pictures a second that the fake engine can do")
    parser.add_argument("--deadline-ms", type=float, default=250.0, help="of the posts beside the streams")
    parser.add_argument("--max-age-ms", type=float, default=1000.0, help="of a frame")
    parser.add_argument("--seconds", type=float, default=20.0, help="per round")
    parser.add_argument("--rounds", type=int, default=3)
    add_json_flag(parser)
    return parser


def measure(flags: argparse.Namespace) -> tuple[list[tuple[list[StreamCounts], list[tuple[bool, float]]]], list[float]]:
    """Each round's streams and posts, and the server's peak memory after it, in MB."""
    picture = small_jpeg(2000)
    rounds, peaks = [], []
    with tempfile.TemporaryDirectory() as folder:
        write_mean_colour(Path(folder))
        words = ["--store", folder, "--backend", "fake", "--max-frame-age-ms", f"{flags.max_age_ms:g}"]
        words += ["--backend-option", f"fake.delay_per_image_ms={1e3 / flags.capacity:g}"]
        with (
            Served(*words) as served,
            asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
        ):
            for _ in range(flags.rounds):
                rounds.append(runner.run(one_round(served, flags, picture)))
                peaks.append(served.peak_mb())
    return rounds, peaks


def main() -> None:
    """Measure and print."""
    flags = make_parser().parse_args()
    rounds, peaks = measure(flags)
    lines, result = [], []
    for (streams, posts), peak_mb in zip(rounds, peaks, strict=True):
        shares = [each.results for each in streams]
        mean = statistics.mean(shares)
        spread = max(abs(share - mean) for share in shares) / mean if mean else 1.0
        ages = [age for each in streams for age in each.age_ms]
        lost = sum(each.outcomes["unanswered"] + each.repeated for each in streams)
        answered = [seconds * 1e3 for ok, seconds in posts if ok]
        found = {
            "sent": sum(each.sent for each in streams),
            "outcomes": dict(sum((each.outcomes for each in streams), start=Counter[str]())),
            "lost_or_repeated": lost,
            "shares": shares,
            "spread": round(spread, 4),
            "oldest_ms": round(max(ages, default=0.0), 1),
            "age_ms": _shown(ages),
            "posts": len(posts),
            "posts_answered": len(answered),
            "post_ms": _shown(answered),
            "peak_mb": round(peak_mb, 1),
        }
        result.append(found)
        kept = lost == 0 and spread <= FAIR and found["oldest_ms"] <= flags.max_age_ms and len(answered) == len(posts)
        lines.append(
            f"{flags.streams} × {flags.fps:g}/s into {flags.capacity:g}/s: {found['sent']} frames sent, "
            f"{sum(shares)} answered, {lost} lost or told twice; shares {min(shares)} to {max(shares)} "
            f"({spread:.1%} off the mean at most); age p50 {found['age_ms'].get('p50')} ms, "
            f"oldest {found['oldest_ms']} ms; "
            f"posts {len(answered)} of {len(posts)} answered, p50 {found['post_ms'].get('p50')}, "
            f"p99 {found['post_ms'].get('p99')} ms; peak {peak_mb:.0f} MB: {'ok' if kept else 'MISSED'}"
        )
    publish({"rounds": result}, lines, as_json=flags.json)


def _shown(samples: list[float]) -> dict[str, float]:
    found = percentiles(samples)
    return {} if found is None else {name: round(value, 2) for name, value in found.values.items()}


if __name__ == "__main__":
    main()
