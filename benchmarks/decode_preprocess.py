"""What a picture costs before the model: header, decode, preprocess, and the fast path.

    python -m benchmarks.decode_preprocess [--images DIR] [--n 40] [--rounds 9] [--json]

Times are CPU milliseconds of one thread, so that other work on the machine
disturbs them little; what is compared is interleaved (A B A B …) and medians
are reported. Without ``--images`` it makes its photos from those in
scikit-image and scikit-learn.
"""

import argparse
import io
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from statistics import median, quantiles

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.machine import add_json_flag, publish
from model_zoo.decode import decode
from model_zoo.header import Header, PictureLimits, read_header
from model_zoo.preprocess import prepare, prepare_reference, preprocess
from model_zoo.spec import InputSpec, Resize

LIMITS = PictureLimits(max_bytes=2**30, max_pixels=2**30)
SPEC = InputSpec(224, 224, 3, "rgb", Resize("shorter_side", 256), "centre", (127.0,) * 3, (128.0,) * 3)


@dataclass(frozen=True, slots=True)
class Sample:
    """One encoded picture, its header and its decoded pixels."""

    data: bytes
    header: Header
    pixels: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class SetResult:
    """What was found of one set of pictures."""

    n: int
    rounds: int
    stages: dict[str, dict[str, float]]
    difference: dict[str, float]


STAGES: dict[str, Callable[[Sample], object]] = {
    "header": lambda s: read_header(s.data, LIMITS),
    "decode": lambda s: decode(s.data, s.header, colour="rgb"),
    "preprocess": lambda s: preprocess(s.pixels, SPEC),
    "decode + preprocess": lambda s: prepare_reference(s.data, s.header, SPEC),
    "prepare": lambda s: prepare(s.data, s.header, SPEC),
}


def photos(folder: Path | None, count: int) -> list[bytes]:
    """JPEGs from a folder, or the natural photos that the test libraries carry, at about 400×533."""
    if folder is not None:
        paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
        chosen = paths[:: max(len(paths) // count, 1)][:count]
        return [path.read_bytes() for path in chosen]
    shrunk = []
    for image in originals():
        image.thumbnail((533, 533))
        shrunk.append(encode(image, "JPEG", quality=90))
    return shrunk


def originals() -> list[Image.Image]:
    """Natural photos from scikit-image and scikit-learn, 0.1 to 2 megapixels."""
    from skimage import data as skimage_data

    arrays = [getattr(skimage_data, name)() for name in ("astronaut", "chelsea", "coffee", "rocket", "retina")]
    folder = files("sklearn.datasets.images")
    read = [Image.open(io.BytesIO(folder.joinpath(name).read_bytes())) for name in ("china.jpg", "flower.jpg")]
    return [Image.fromarray(array) for array in arrays] + read


def encode(image: Image.Image, name: str, **options: object) -> bytes:
    """Encode in memory."""
    buffer = io.BytesIO()
    image.save(buffer, name, **options)
    return buffer.getvalue()


def sets(folder: Path | None, count: int) -> dict[str, list[bytes]]:
    """The sets of pictures that are measured, by name."""
    large = [image.resize((4000, 3000), Image.Resampling.BICUBIC) for image in originals()[:3]]
    ordinary = photos(folder, count)
    decoded = [Image.open(io.BytesIO(data)).convert("RGB") for data in ordinary[:5]]
    return {
        "photos, JPEG": ordinary,
        "photos, progressive JPEG": [encode(image, "JPEG", quality=90, progressive=True) for image in decoded],
        "photos, PNG": [encode(image, "PNG") for image in decoded],
        "photos, WebP": [encode(image, "WEBP", quality=90) for image in decoded],
        "12 megapixels, JPEG": [encode(image, "JPEG", quality=90) for image in large],
        "12 megapixels, PNG": [encode(image, "PNG", compress_level=1) for image in large[:1]],
    }


def measure(samples: Sequence[Sample], rounds: int) -> dict[str, list[float]]:
    """CPU ms of each stage, per sample and round, stages interleaved."""
    taken: dict[str, list[float]] = {stage: [] for stage in STAGES}
    for turn in range(rounds + 1):
        for sample in samples:
            for stage, run in STAGES.items():
                start = time.thread_time()
                run(sample)
                if turn:  # the first round warms up
                    taken[stage].append((time.thread_time() - start) * 1e3)
    return taken


def difference(samples: Sequence[Sample]) -> dict[str, float]:
    """Mean and largest difference of ``prepare`` from the reference, in levels of 0–255."""
    both = [(prepare(s.data, s.header, SPEC), prepare_reference(s.data, s.header, SPEC)) for s in samples]
    levels = np.stack([np.abs(fast.astype(int) - reference) for fast, reference in both])
    return {"mean": float(levels.mean()), "max": float(levels.max()), "p999": float(np.quantile(levels, 0.999))}


def sample(data: bytes) -> Sample:
    """Read and decode one picture."""
    header = read_header(data, LIMITS)
    return Sample(data, header, decode(data, header, colour="rgb"))


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median and quartiles."""
    low, _, high = quantiles(values, n=4)
    return {"median_ms": median(values), "q1_ms": low, "q3_ms": high}


def measure_set(encoded: Sequence[bytes], rounds: int) -> SetResult:
    """Times and difference of one set."""
    samples = [sample(data) for data in encoded]
    stages = {stage: spread(values) for stage, values in measure(samples, rounds).items()}
    return SetResult(len(samples), rounds, stages, difference(samples))


def report(name: str, result: SetResult) -> list[str]:
    """One set as text."""
    lines = [f"{name}  (n = {result.n}, {result.rounds} rounds)"]
    for stage, figure in result.stages.items():
        lines.append(f"  {stage:<20} {figure['median_ms']:8.3f} ms   [{figure['q1_ms']:.3f}, {figure['q3_ms']:.3f}]")
    levels = result.difference
    figures = f"mean {levels['mean']:.4f}, 99.9 % ≤ {levels['p999']:.0f}, max {levels['max']:.0f}"
    return [*lines, f"  prepare differs by    {figures}"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print; 0."""
    parser = argparse.ArgumentParser(description="Cost of a picture before the model.")
    parser.add_argument("--images", metavar="DIR", type=Path, help="folder of JPEGs, searched deeply")
    parser.add_argument("--n", type=int, default=40, help="how many of them")
    parser.add_argument("--rounds", type=int, default=9)
    add_json_flag(parser)
    options = parser.parse_args(arguments)
    results: dict[str, SetResult] = {}
    for name, encoded in sets(options.images, options.n).items():
        large = name.startswith("12")
        results[name] = measure_set(encoded, max(options.rounds // 3, 2) if large else options.rounds)
    lines = [line for name, result in results.items() for line in report(name, result)]
    publish({"sets": {name: asdict(result) for name, result in results.items()}}, lines, as_json=options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
