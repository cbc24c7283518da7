"""What it costs the server to take a picture in, by how it is sent: CPU of a picture, without a model's run.

Pictures of the size that the model scales to, so that none is scaled: as JPEG, BMP and pixels (``.npy``), one a
request; the same, several in a form; and pixels of several as one body. The ``fake`` engine answers; what is left is
HTTP, the body's parts, decoding, batching and answers. CPU of the server process, all threads, from /proc/PID/stat.
Ways take turns.
"""

import argparse
import io
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.loads import FORM, form_of, photos, run
from benchmarks.machine import add_json_flag, publish
from benchmarks.served import Served
from model_zoo.header import PictureLimits, read_header
from model_zoo.preprocess import prepare
from model_zoo.spec import InputSpec, Resize
from model_zoo.store import Store, shipped_store
from server.commands.predict import find_model
from server.load.run import ClosedLoop, LoadPlan

Pixels = NDArray[np.uint8]
IN_FLIGHT = 64  # pictures, however many are in one request


@dataclass(frozen=True, slots=True)
class Way:
    """Bodies of ``images`` pictures each."""

    bodies: list[bytes]
    images: int
    content_type: str | None = None


def ways_of(pictures: Pixels, together: int) -> dict[str, Way]:
    """Every way to send (N, H, W, C)."""
    found: dict[str, Way] = {}
    for name, encode in ENCODINGS.items():
        files = [encode(pixels) for pixels in pictures]
        found[name] = Way(files, 1)
        forms = [form_of([files[(first + n) % len(files)] for n in range(together)]) for first in range(len(files))]
        found[f"{name}, {together} in a form"] = Way(forms, together, FORM)
    bodies = [npy(pictures[np.arange(first, first + together) % len(pictures)]) for first in range(len(pictures))]
    found[f"npy of {together}"] = Way(bodies, together)
    return found


def npy(pixels: Pixels) -> bytes:
    """As ``numpy.save`` writes it."""
    file = io.BytesIO()
    np.save(file, pixels)
    return file.getvalue()


def _by_pillow(name: str) -> Callable[[Pixels], bytes]:
    def encode(pixels: Pixels) -> bytes:
        file = io.BytesIO()
        Image.fromarray(np.squeeze(pixels)).save(file, name, quality=90)
        return file.getvalue()

    return encode


ENCODINGS: dict[str, Callable[[Pixels], bytes]] = {"jpeg": _by_pillow("JPEG"), "bmp": _by_pillow("BMP"), "npy": npy}


def unscaled(files: list[bytes], spec: InputSpec) -> Pixels:
    """Square pictures whose side is the one that the model scales to."""
    side = spec.resize.size
    square = InputSpec(side, side, 3, "rgb", Resize("stretch", side), "none", (0.0,) * 3, (1.0,) * 3)
    return np.stack([prepare(data, read_header(data, PictureLimits()), square) for data in files])


def cost_of(served: Served, way: Way, seconds: float) -> tuple[float, float]:
    """CPU of a picture in microseconds, and pictures a second.

    Raises:
        SystemExit: something else than 200 came back.
    """
    before = served.cpu_s()
    report = run(served, way.bodies, LoadPlan(ClosedLoop(IN_FLIGHT // way.images), seconds), way.content_type)
    spent = served.cpu_s() - before
    if len(report.tally.ok) != report.tally.requests:
        raise SystemExit(f"not all were answered: {dict(report.tally.by_error)}\n{served.log()}")
    return spent / (report.tally.requests * way.images) * 1e6, report.per_second(report.tally.finished) * way.images


def make_parser() -> argparse.ArgumentParser:
    """The program's flags."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--together", type=int, default=32, help="pictures in one request")
    parser.add_argument("--seconds", type=float, default=3.0, help="per way and round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--store", metavar="DIR", help="folder of bundles (default: the shipped ones)")
    parser.add_argument("--model", metavar="NAME", help="model of the store")
    parser.add_argument("--images", type=Path, metavar="DIR", help="pictures to send (default: scikit-learn's photos)")
    add_json_flag(parser)
    return parser


def main() -> None:
    """Measure and print."""
    flags = make_parser().parse_args()
    store = Store(Path(flags.store)) if flags.store else shipped_store()
    ways = ways_of(unscaled(photos(flags.images), find_model(store, flags.model).spec.input), flags.together)
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    named = [*(["--store", flags.store] if flags.store else []), *(["--model", flags.model] if flags.model else [])]
    room = ["--max-batch-size", str(IN_FLIGHT), "--max-images-per-request", str(max(flags.together, 1))]
    with Served("--backend", "fake", *named, *room) as served:
        for way in ways.values():
            run(served, way.bodies, LoadPlan(ClosedLoop(2), 0.5), way.content_type)
        for _ in range(flags.rounds):
            for name, way in ways.items():
                found[name].append(cost_of(served, way, flags.seconds))
    rows = []
    lines = [f"server CPU of a picture, fake backend, median of {flags.rounds} × {flags.seconds:g} s:"]
    for name, each in found.items():
        costs = [cost for cost, _ in each]
        per_s = statistics.median(rate for _, rate in each)
        rows.append({"way": name, "cpu_us": statistics.median(costs), "all_cpu_us": costs, "images_per_s": per_s})
        lines.append(
            f"  {name:<18} {statistics.median(costs):7.1f} µs  (from {min(costs):.1f} to {max(costs):.1f}), "
            f"{per_s:.0f} pictures/s, {len(ways[name].bodies[0]) / ways[name].images / 1e3:.0f} kB each"
        )
    publish({"rows": rows, "together": flags.together, "rounds": flags.rounds}, lines, as_json=flags.json)


if __name__ == "__main__":
    main()
