"""Which rewrites of a graph are faster on this machine? ``python -m benchmarks.faster_kernels``

What the step ``faster_kernels`` of ``quickeye optimize`` does, of each model on each engine, one thread: every rewrite
is measured beside the graph without it, in turns, and kept where it is clearly faster. ``--models`` are
what ``quickeye optimize`` takes; ``--networks`` are of random weights, as speed does not depend on them, in float
and in INT8, and with ``--macs`` pruned before, to channels that are multiples of ``--round-to``.
"""

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.machine import add_json_flag, publish
from benchmarks.pruned_speed import unpruned, written
from model_zoo.bundle import Bundle
from model_zoo.store import shipped_store
from optimize.candidates.faster_step import BundleClock, rewritten
from optimize.candidates.opening import open_parent
from optimize.candidates.recipe import Measuring
from optimize.passes import load_pass
from optimize.passes.rewrites.faster import keep_faster
from optimize.pruning.options import PruneOptions
from optimize.pruning.prune import prune


def random_ones(name: str, store: Path, flags: argparse.Namespace) -> Iterator[Bundle]:
    """A network in float, and the same in INT8."""
    network = unpruned(name, flags.side)
    if flags.macs is not None:
        network = prune(network, PruneOptions(macs=flags.macs, round_to=flags.round_to)).network
    bundle = written(network, name, store)
    quantised = load_pass("quantize_int8").run(bundle.read_model(), bundle.check().pictures.copy(), {})
    yield bundle
    yield rewritten(bundle, quantised, store, precision="int8")


def rows_of(name: str, bundle: Bundle, backend: str, seconds: float) -> list[dict[str, str]]:
    """A line for each rewrite, of a model on an engine."""
    clock = BundleClock(bundle, Measuring(backend=backend, threads=1, seconds=seconds))
    _, said = keep_faster(bundle.read_model(), bundle.check().pictures, clock)
    row = {"model": name, "precision": bundle.spec.precision, "backend": backend}
    parts = [sentence.partition(": ") for sentence in said]
    return [{**row, "rewrite": rewrite, "outcome": outcome} for rewrite, _, outcome in parts]


def main() -> None:
    """The program."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="*", default=["zoo:efficientnet_lite0", "efficientnet_lite0"], metavar="M")
    parser.add_argument("--networks", nargs="*", default=["grey28_wide"], metavar="NAME", help="architectures")
    parser.add_argument("--backends", nargs="+", default=["onnxruntime", "openvino"], metavar="NAME")
    parser.add_argument("--macs", type=float, metavar="SHARE", help="prune networks to this share first")
    parser.add_argument("--round-to", type=int, default=1, help="then channels are multiples of this (1: of nothing)")
    parser.add_argument("--side", type=int, help="of the networks' input, px (their own)")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    add_json_flag(parser)
    flags = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        whole = [(word, open_parent(word, shipped_store(), Path(folder))) for word in flags.models]
        for name in flags.networks:
            whole += [(name, bundle) for bundle in random_ones(name, Path(folder) / "networks", flags)]
        for name, bundle in whole:
            for backend in flags.backends:
                rows += rows_of(name, bundle, backend, flags.seconds)
    lines = [
        f"  {one['model']:<24} {one['precision']:<5} {one['backend']:<12} {one['rewrite']:<20} {one['outcome']}"
        for one in rows
    ]
    said = {"macs": flags.macs, "round_to": flags.round_to, "side": flags.side, "seconds": flags.seconds}
    publish({"rows": rows, **said, "threads": 1}, lines, as_json=flags.json)


if __name__ == "__main__":
    main()
