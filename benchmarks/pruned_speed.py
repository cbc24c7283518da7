"""Does pruning buy speed, or multiply-adds alone? ``python -m benchmarks.pruned_speed``

Each network is pruned to shares of its multiply-adds (by l2, all layers compared; the weights are random, as
speed does not depend on them) and measured beside itself unpruned, FP32 on the same engine, one
picture at a time, in turns. What counts is the speed-up over the reduction: 1 is all that could be hoped for
by multiply-adds. With ``--scope latency`` layers are chosen by their measured times (``docs/pruning.md``).
"""

import argparse
import tempfile
from contextlib import closing
from pathlib import Path

import torch

from benchmarks.machine import add_json_flag, publish
from model_zoo.architectures import build, input_spec
from model_zoo.bundle import Bundle
from model_zoo.export import Provenance, export_bundle
from model_zoo.spec import ArchitectureRef
from optimize.candidates.recipe import Measuring
from optimize.candidates.speed import Speed, measure_speed
from optimize.candidates.width_clock import WidthClock
from optimize.data.dataset import Task
from optimize.judging.judged_model import IN_FLOAT32, BundleModel
from optimize.pruning.cost import Widths
from optimize.pruning.options import PruneOptions
from optimize.pruning.prune import prune
from optimize.training.network.network import Network
from server.backends.cpu_features import cpu_features

NETWORKS = ("efficientnet_lite0", "resnet18", "mobilenet_v2", "grey28_wide")
SHARES = (0.75, 0.5, 0.35)
BAR = 0.8
CLASSES = tuple(f"class{number}" for number in range(10))


def unpruned(name: str, side: int | None = None) -> Network:
    """With random weights."""
    torch.manual_seed(0)
    reference = ArchitectureRef(name, {"num_classes": len(CLASSES)})
    module = build(name, len(CLASSES)).eval()
    spec = input_spec(name).at_size(side, side) if side else input_spec(name)
    return Network(module=module, spec=spec, architecture=reference, tasks=(Task("label", CLASSES),))


def written(network: Network, name: str, store: Path) -> Bundle:
    """Its bundle."""
    provenance = Provenance(licence="none", source="random weights", note="for speed alone")
    return export_bundle(
        network.module,
        name=name,
        store=store,
        spec=network.spec,
        labels=CLASSES,
        provenance=provenance,
        architecture=network.architecture,
    )


def measured(bundle: Bundle, parent: Bundle, options: Measuring) -> Speed:
    """Beside each other."""
    models = [
        BundleModel(one, options.backend, threads=options.threads, settings=IN_FLOAT32) for one in (bundle, parent)
    ]
    try:
        return measure_speed(models[0], models[1], options)
    finally:
        for model in models:
            model.close()


def rows_of(name: str, store: Path, backend: str, flags: argparse.Namespace) -> list[dict[str, str | float]]:
    """A network's figures on an engine."""
    whole = unpruned(name, flags.side)
    parent = written(whole, name, store)
    options = Measuring(backend=backend, threads=1, seconds=flags.seconds)
    rows: list[dict[str, str | float]] = []
    with closing(WidthClock(parent, parent, options)) as clock:
        known: dict[str, float] = {}

        def once(widths: Widths) -> float:
            key = str(sorted(widths.items()))
            known[key] = known[key] if key in known else clock(widths)
            return known[key]

        for share in SHARES:
            found = prune(whole, PruneOptions(macs=share, round_to=flags.round_to, scope=flags.scope), clock=once)
            bundle = written(found.network, f"{name}-{round(100 * share)}", store)
            speed = measured(bundle, parent, options)
            rows.append(
                {
                    "network": name,
                    "backend": backend,
                    "macs": round(found.macs, 4),
                    "faster": round(speed.faster, 3),
                    "spread": round(speed.spread, 3),
                    "kept": round(speed.faster * found.macs, 3),
                }
            )
    return rows


def main() -> None:
    """The program."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), metavar="NAME")
    parser.add_argument("--backends", nargs="+", default=["onnxruntime", "openvino"], metavar="NAME")
    parser.add_argument(
        "--round-to",
        type=int,
        default=cpu_features().floats_at_once,
        help="channels are multiples of this (default: what this CPU's kernels take at once, %(default)s)",
    )
    parser.add_argument("--scope", choices=("global", "uniform", "latency"), default="global", help="of pruning")
    parser.add_argument("--side", type=int, help="of the input, px (the network's own)")
    parser.add_argument("--seconds", type=float, default=6.0, help="of each measurement")
    add_json_flag(parser)
    flags = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name in flags.networks:
            for backend in flags.backends:
                rows += rows_of(name, Path(folder) / backend, backend, flags)
    lines = [f"  {'network':<20} {'engine':<12} {'macs':>6} {'faster':>7} {'±':>6} {'kept':>6}   (bar {BAR} kept)"]
    lines += [
        f"  {one['network']:<20} {one['backend']:<12} {one['macs']:6.3f} {one['faster']:7.2f} {one['spread']:6.2f} "
        f"{one['kept']:6.2f}   {'ok' if float(str(one['kept'])) >= BAR else 'MISSED'}"
        for one in rows
    ]
    said = {"round_to": flags.round_to, "scope": flags.scope, "side": flags.side, "seconds": flags.seconds}
    publish({"rows": rows, **said, "threads": 1}, lines, as_json=flags.json)


if __name__ == "__main__":
    main()
