"""What zeros save on disk, and what they cost at load and in a run. ``python -m benchmarks.sparse_storage``

A network of the zoo (its weights are random: bytes and times do not depend on them), without zeros and with some shares
of them, dense and stored by ``sparse_storage``, in float32, float16 and INT8. Loads and runs are ONNX Runtime's, one
thread, one picture, of the same graph dense and stored in turns; a run is also compared with that of the network
without zeros.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.calibration_memory import Drawn
from benchmarks.machine import add_json_flag, publish
from model_zoo.architectures import build, input_spec
from model_zoo.export import export_onnx
from model_zoo.spec import InputSpec
from optimize.judging.arithmetic import Run, open_model
from optimize.judging.zeros import zeros_of
from optimize.passes import load_pass

FORMS = ("float32", "float16", "quantize_int8")
CALIBRATION = 8


@cache
def exported(name: str, spec: InputSpec) -> bytes:
    """The network's graph."""
    torch.manual_seed(0)
    return export_onnx(build(name, 1000).eval(), spec)


def made(name: str, share: float, form: str, spec: InputSpec) -> bytes:
    """The network's graph with so many zeros, dense."""
    model = exported(name, spec)
    pictures = Drawn(CALIBRATION, spec.height, spec.channels)
    if share:
        model = load_pass("sparsify").run(model, pictures, {"share": share})
    return model if form == "float32" else load_pass(form).run(model, pictures, {})


def ratio(one: Callable[[], object], other: Callable[[], object], rounds: int) -> tuple[float, float]:
    """Median milliseconds of the first, and the median of both times' ratios, measured in turns."""
    found = []
    for number in range(rounds + 1):
        times = {}
        for call in (one, other) if number % 2 else (other, one):
            begun = time.perf_counter()
            call()
            times[call] = time.perf_counter() - begun
        found.append((times[one], times[one] / times[other]))
    own, both = zip(*found[1:], strict=True)  # the first warms up
    return 1e3 * statistics.median(own), statistics.median(both)


def row(name: str, share: float, form: str, spec: InputSpec, whole: bytes, rounds: int) -> dict[str, str | float]:
    """Figures of one share in one form; ``whole``: the graph without zeros."""
    dense = made(name, share, form, spec)
    stored = load_pass("sparse_storage").run(dense, Drawn(0, spec.height, spec.channels), {})
    picture = Drawn(1, spec.height, spec.channels)[:1]
    load_ms, load_ratio = ratio(lambda: open_model(stored, "fast"), lambda: open_model(dense, "fast"), min(rounds, 9))
    runs = [_run(open_model(one, "fast"), picture) for one in (stored, dense, whole)]
    return {
        "form": form,
        "share": share,
        "zeros": round(zeros_of(dense).share, 3),
        "dense_mb": round(len(dense) / 1e6, 3),
        "stored_mb": round(len(stored) / 1e6, 3),
        "stored_over_dense": round(len(stored) / len(dense), 3),
        "load_ms": round(load_ms, 1),
        "load_over_dense": round(load_ratio, 2),
        "run_over_dense": round(ratio(runs[0], runs[1], rounds)[1], 3),
        "run_over_no_zeros": round(ratio(runs[0], runs[2], rounds)[1], 3),
    }


def _run(run: Run, picture: NDArray[np.uint8]) -> Callable[[], object]:
    return lambda: run(picture)


def main() -> None:
    """The program."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--network", default="efficientnet_lite0", metavar="NAME", help="of the zoo")
    parser.add_argument("--side", type=int, default=0, help="of the input, px; 0: the network's own")
    parser.add_argument("--shares", type=float, nargs="+", default=[0.25, 0.5, 0.75, 0.9], metavar="SHARE")
    parser.add_argument("--forms", nargs="+", default=list(FORMS), choices=FORMS)
    parser.add_argument("--rounds", type=int, default=60, help="pairs of runs")
    add_json_flag(parser)
    flags = parser.parse_args()
    spec = input_spec(flags.network)
    spec = spec.at_size(flags.side, flags.side) if flags.side else spec
    rows = []
    for form in flags.forms:
        whole = made(flags.network, 0.0, form, spec)
        rows += [row(flags.network, share, form, spec, whole, flags.rounds) for share in flags.shares]
    lines = [
        f"  {one['form']:13} zeros {one['zeros']:.3f}: {one['dense_mb']:.3f} → {one['stored_mb']:.3f} MB "
        f"({one['stored_over_dense']:.3f}); load {one['load_ms']} ms ({one['load_over_dense']:.2f} of dense); run "
        f"{one['run_over_dense']:.3f} of dense, {one['run_over_no_zeros']:.3f} of no zeros"
        for one in rows
    ]
    publish({"network": flags.network, "side": spec.height, "rows": rows}, lines, as_json=flags.json)


if __name__ == "__main__":
    main()
