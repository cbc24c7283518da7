"""What the server adds for a lone client: round trip minus the same picture decoded and run in process.

One request, then one in-process run of the same picture with the same engine
plan, and so on; nothing else is in flight. In process counts decode,
preprocess and run, and nothing more.
"""

import argparse
import asyncio
import statistics
import time
from dataclasses import dataclass, field
from pathlib import Path

import uvloop

from benchmarks.loads import CLIENT_TIMEOUT_S, add_serving_flags, photos, serving_flags
from benchmarks.machine import add_json_flag, publish, verdict
from benchmarks.served import Served
from model_zoo.store import Store, shipped_store
from server.commands.predict import find_model
from server.config import Config
from server.in_process import InProcess
from server.job import JobOptions
from server.load.client import Client
from server.loading import load
from server.loadtest import parse_target
from server.percentiles import percentiles

BAR_MS = 1.5


@dataclass
class Samples:
    """Milliseconds, in the order measured."""

    served: list[float] = field(default_factory=list)
    in_process: list[float] = field(default_factory=list)


async def measure(served: Served, model: InProcess, pictures: list[bytes], n: int, warmup: int) -> Samples:
    """Alternate between the server and this process.

    Raises:
        SystemExit: the server did not answer with 200.
    """
    target = parse_target(served.url, {})
    client = Client(target, timeout_s=CLIENT_TIMEOUT_S)
    requests = [target.request(picture) for picture in pictures]
    samples = Samples()
    try:
        for number in range(-warmup, n):
            which = number % len(pictures)
            began = time.perf_counter()
            answer = await client.ask(requests[which])
            elapsed = time.perf_counter() - began
            if not answer.ok:
                raise SystemExit(f"the server said {answer}\n{served.log()}")
            times = model.answer(pictures[which], JobOptions()).times
            if number >= 0:
                samples.served.append(elapsed * 1e3)
                samples.in_process.append((times.decode + times.preprocess + times.infer) * 1e3)
    finally:
        await client.close()
    return samples


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_serving_flags(parser)
    parser.add_argument("--n", type=int, default=500)
    parser.add_argument("--warmup", type=int, default=50)
    add_json_flag(parser)
    flags = parser.parse_args()
    pictures = photos(flags.images)
    bundle = find_model(Store(Path(flags.store)) if flags.store else shipped_store(), flags.model)
    with (
        Served(*serving_flags(flags)) as served,
        InProcess(load(Config(backend=flags.backend or "auto"), bundle)) as model,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        samples = runner.run(measure(served, model, pictures, flags.n, flags.warmup))
    there, here = percentiles(samples.served), percentiles(samples.in_process)
    if there is None or here is None:
        raise SystemExit("--n must be at least 1")
    added = there.values["p50"] - here.values["p50"]
    paired = statistics.median(a - b for a, b in zip(samples.served, samples.in_process, strict=True))
    lines = [
        f"{bundle.spec.name} version {bundle.spec.version}, {len(pictures)} pictures, n = {flags.n} each, alternating"
    ]
    for name, summary in (("served round trip", there), ("in process", here)):
        values = ", ".join(f"{key} {value:.2f}" for key, value in summary.values.items())
        lines.append(f"  {name:<18} ms: {values}")
    lines.append(
        f"  added, of the p50s: {added:.2f} ms (median of pairs {paired:.2f}; bar {BAR_MS}): {verdict(added, BAR_MS)}"
    )
    result = {
        "model": bundle.spec.name,
        "n": flags.n,
        "served_ms": there.as_json(),
        "in_process_ms": here.as_json(),
        "added_p50_ms": round(added, 3),
        "added_paired_ms": round(paired, 3),
        "bar_ms": BAR_MS,
    }
    publish(result, lines, as_json=flags.json)


if __name__ == "__main__":
    main()
