"""Is the shipped INT8 EfficientNet-Lite0 worth having? ``python -m benchmarks.int8_lite0 --clothing DIR``

The bundle of the repository beside the float model that it was made of: what share of its multiply-adds ONNX Runtime
computes in integers, how often both name the same first class, and how many pictures a second each gives, on the same
engine, threads and batch, in turns. On a CPU that multiplies in bfloat16 the float model is timed on OpenVINO so,
too, and must be beaten so, whether or not its check would let it serve. 20 photos are foolbox's, the others those of
a folder (``<class>/*.jpg``); without one they are left out.
"""

import argparse
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.machine import add_json_flag, publish
from model_zoo.bundle import Bundle, read_bundle
from model_zoo.export import build_bundle
from model_zoo.preprocess import preprocess
from model_zoo.spec import InputSpec
from model_zoo.store import shipped_store
from optimize.candidates.recipe import Measuring
from optimize.candidates.speed import Timed, measure_speed
from optimize.judging.agreement import agreement
from optimize.judging.fused import fused_share
from optimize.judging.judged_model import BATCH, IN_FLOAT32, BundleModel, Pictures, Rows
from server.backends import BackendOptions, openvino
from server.backends.cpu_features import cpu_features

NETWORK = "efficientnet_lite0"
ENGINES = ("onnxruntime", "openvino")
# Speed-ups over the float model, same threads and batch, OpenVINO's over bfloat16; of the photos, the share with the
# same first class.
BARS = {"onnxruntime": 2.1, "bf16": 1.05, "clothing": 0.97, "foolbox": 0.95}


@dataclass(frozen=True, slots=True)
class Row:
    """One figure; ``bar`` is the least that will do, None where there is none."""

    what: str
    value: float
    told: str
    bar: float | None = None

    def line(self) -> str:
        """As people read it."""
        judged = "" if self.bar is None else f"   (bar {self.bar:g}) {'ok' if self.value >= self.bar else 'MISSED'}"
        return f"  {self.what:<52} {self.told}{judged}"


def photos_of(files: Iterable[Path], spec: InputSpec) -> Pictures:
    """Through the reference preprocessing, (N, height, width, 3), in the order of their names."""
    pictures = []
    for file in sorted(files):
        with Image.open(file) as image:
            pictures.append(preprocess(np.asarray(image.convert("RGB")), spec))
    return np.stack(pictures)


def integers(int8: Bundle) -> Row:
    """What ONNX Runtime computes in integers, and what it does not."""
    found = fused_share(int8.read_model())
    in_float = f"; in float: {', '.join(found.float_layers)}" if found.float_layers else ""
    return Row("multiply-adds in integers", found.share, f"{100 * found.share:.1f} %{in_float}")


def agreements(int8: Bundle, parent: Bundle, photos: dict[str, Pictures], engine: str) -> Iterator[Row]:
    """First classes of both, the 8-bit model's on the engine, the parent's in float32 on ONNX Runtime."""
    with closing(BundleModel(int8, engine, threads=1)) as ours, closing(BundleModel(parent, "onnxruntime")) as exact:
        for name, pictures in photos.items():
            same = agreement(ours.logits(pictures), exact.logits(pictures)).every
            yield Row(f"same answer, {name}, {engine}", same.value, str(same), BARS[name])


class InBfloat16:
    """A float bundle on OpenVINO in bfloat16, unchecked."""

    backend_name, precision = "openvino", "bf16"

    def __init__(self, bundle: Bundle, threads: int) -> None:
        options = BackendOptions("cpu", threads, BATCH, extra={"openvino.precision": "bf16"})
        self.bundle, self.spec, self.threads = bundle, bundle.spec.input, threads
        self._backend = openvino.load(bundle, options)

    def logits(self, pictures: Pictures) -> Rows:
        """uint8 (N, height, width, 3) → (N, classes), at most ``BATCH`` at once."""
        rows = [self._backend.run(pictures[start : start + BATCH])[0] for start in range(0, len(pictures), BATCH)]
        return np.concatenate(rows)

    def close(self) -> None:
        """Close the engine."""
        self._backend.close()


def in_bfloat16(parent: Bundle, photos: dict[str, Pictures]) -> Iterator[Row]:
    """What the rival's rounding costs: its first classes beside float32's."""
    with closing(InBfloat16(parent, 1)) as rounded, closing(BundleModel(parent, "onnxruntime")) as exact:
        for name, pictures in photos.items():
            same = agreement(rounded.logits(pictures), exact.logits(pictures)).every
            yield Row(f"same answer, {name}, openvino bf16", same.value, str(same))


def speeds(int8: Bundle, parent: Bundle, engine: str, threads: int, seconds: float) -> Iterator[Row]:
    """Ratios of images a second, one picture and eight at a time."""
    options = Measuring(backend=engine, threads=threads, seconds=seconds)
    in_turns: list[Callable[[], BundleModel | InBfloat16]] = [
        lambda: BundleModel(parent, engine, threads=threads, settings=IN_FLOAT32)
    ]
    if engine == "openvino" and cpu_features().multiplies_bf16:
        in_turns.append(lambda: InBfloat16(parent, threads))
    with closing(BundleModel(int8, engine, threads=threads)) as ours:
        for opened in in_turns:
            with closing(opened()) as whole:
                yield from _speed(ours, whole, options)


def _speed(ours: BundleModel, whole: Timed, options: Measuring) -> Iterator[Row]:
    found = measure_speed(ours, whole, options)
    engine, threads = ours.backend_name, ours.threads
    bar = BARS.get("bf16" if whole.precision == "bf16" else engine)
    what = f"{ours.precision} ÷ {whole.precision}, {engine}, {threads} thread{'s' * (threads > 1)}"
    times = f"{found.p50_ms:.2f} ms ÷ {found.parent_ms:.2f} ms"
    yield Row(f"{what}, one picture", found.faster, f"{found.faster:.2f} ± {found.spread:.2f} ({times})", bar)
    rate = f"{found.throughput:.2f} ± {found.throughput_spread:.2f} ({found.images_per_s:.0f} images/s)"
    yield Row(f"{what}, batch of {found.batch}", found.throughput, rate, bar)


def main() -> None:
    """The program."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path, metavar="DIR", help="of the INT8 model (default: the shipped one)")
    parser.add_argument("--clothing", type=Path, metavar="DIR", help="photos, as DIR/<class>/*.jpg")
    parser.add_argument("--engines", nargs="+", default=list(ENGINES), choices=ENGINES)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="of each engine")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each measurement")
    add_json_flag(parser)
    flags = parser.parse_args()
    foolbox = find_spec("foolbox")
    if foolbox is None or foolbox.origin is None:
        parser.error("the 20 photos are in foolbox: pip install 'quickeye[dev]'")
    int8 = shipped_store().open(NETWORK) if flags.bundle is None else read_bundle(flags.bundle)
    spec = int8.spec.input
    photos = {"foolbox": photos_of(Path(foolbox.origin).parent.glob("data/imagenet_*.jpg"), spec)}
    if flags.clothing is not None:
        photos["clothing"] = photos_of(flags.clothing.glob("*/*.jpg"), spec)
    rows = [integers(int8)]
    with tempfile.TemporaryDirectory() as folder:
        parent = build_bundle(NETWORK, Path(folder))
        for engine in flags.engines:
            rows += agreements(int8, parent, photos, engine)
            for threads in flags.threads:
                rows += speeds(int8, parent, engine, threads, flags.seconds)
        if "openvino" in flags.engines and cpu_features().multiplies_bf16:
            rows += in_bfloat16(parent, photos)
    name = f"{int8.spec.name}/{int8.spec.version}"
    figures = [{"what": one.what, "value": round(one.value, 4), "told": one.told, "bar": one.bar} for one in rows]
    publish({"bundle": name, "rows": figures}, [name, *(one.line() for one in rows)], as_json=flags.json)


if __name__ == "__main__":
    main()
