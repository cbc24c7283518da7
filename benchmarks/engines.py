"""How many times another's speed has a bundle, on each engine?

    python -m benchmarks.engines BUNDLE --parent RUN

The other one (``--parent`` is what ``quickeye optimize`` takes as MODEL) runs on ONNX Runtime throughout, with as many
threads, in turns with the bundle: one picture at a time, then in batches of eight. So a row has what a smaller model
and another engine bring together.
"""

import argparse
import tempfile
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

from benchmarks.machine import add_json_flag, publish
from model_zoo.bundle import Bundle
from model_zoo.store import Store
from optimize.candidates.opening import open_parent
from optimize.candidates.recipe import Measuring
from optimize.candidates.speed import Speed, measure_speed
from optimize.judging.judged_model import BundleModel

REFERENCE = "onnxruntime"


def beside(bundle: Bundle, parent: Bundle, backend: str, threads: int, seconds: float) -> Speed:
    """The bundle on this engine, the parent on ONNX Runtime.

    Raises:
        BackendError: an engine is missing, or refuses its model.
    """
    options = Measuring(backend=backend, threads=threads, seconds=seconds)
    with (
        closing(BundleModel(bundle, backend, threads=threads)) as mine,
        closing(BundleModel(parent, REFERENCE, threads=threads)) as theirs,
    ):
        return measure_speed(mine, theirs, options)


def line(speed: Speed) -> str:
    """As people read it."""
    where = f"{speed.backend}, {speed.precision}, threads: {speed.threads}"
    one = f"{speed.faster:.2f} ± {speed.spread:.2f}"
    many = f"{speed.throughput:.2f} ± {speed.throughput_spread:.2f}"
    return f"  {where:<36} one picture {one}   in batches {many}   ({speed.images_per_s:.0f} pictures/s)"


def main() -> None:
    """The program."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.engines", description=__doc__)
    parser.add_argument("bundle", help="NAME or NAME/VERSION of --store, or a bundle's folder")
    parser.add_argument("--parent", required=True, help="the model beside it")
    parser.add_argument("--store", type=Path, default=Path("store"))
    parser.add_argument("--backends", nargs="+", default=["onnxruntime", "openvino"], metavar="NAME")
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2], metavar="N")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each measurement")
    add_json_flag(parser)
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bundle, parent = (open_parent(word, Store(flags.store), Path(folder)) for word in (flags.bundle, flags.parent))
        rows = [
            beside(bundle, parent, backend, threads, flags.seconds)
            for threads in flags.threads
            for backend in flags.backends
        ]
    names = {"bundle": bundle.spec.name, "parent": parent.spec.name, "parent_on": REFERENCE}
    publish({**names, "rows": [asdict(row) for row in rows]}, [line(row) for row in rows], as_json=flags.json)


if __name__ == "__main__":
    main()
