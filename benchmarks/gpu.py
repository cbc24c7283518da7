"""What a GPU does here, stage by stage; each stage runs alone (``--stages``), and all of them on a CPU, too.

probe       what the device is, how fast it copies and multiplies, which decoders are installed
engine      the backends ``torch`` and ``onnxruntime``: ways to run × batch sizes; time of a batch, images/s with the
            pixels there already, share of what the memory's rate allows, and which answers are the float network's own
decode      JPEGs decoded by the CPU on one core and on all, by the device, and by both; how far the device's pixels
            are from the CPU's
preprocess  pictures of ``--images`` resized on the device: difference from the CPU's, time of a picture, what it
            leaves of the model's rate, and which first classes are those of the whole picture, resized by Pillow,
            through the float network
server      ``quickeye serve`` on it: images/s in a closed loop beside the engine's, then the 99th percentile at seven
            tenths of that; JPEGs, JPEGs of 640×480, and 32 pictures of the model's size, as pixels, a request

The memory's roofline: every convolution and linear layer reads its input and writes its output once, at the rate that
copying within the device's memory has here. The model is Lite0 in float, made as a fresh install makes it, another
one by ``--store`` and ``--model``, or an untrained one of the zoo by ``--network``. Device times are the host's clock
around work that is waited for; ``--seconds`` is per figure.
"""

import argparse
import json
import os
import sys
import tempfile
import traceback
from collections.abc import Callable
from contextlib import ExitStack
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks.gpu_decode import decode
from benchmarks.gpu_onnxruntime import engine_rows
from benchmarks.gpu_server import server
from benchmarks.gpu_subject import COPIED_BYTES, Figures, Subject, median_s, probe_copy, repeated_s
from benchmarks.loads import photos
from benchmarks.machine import add_json_flag, machine, publish
from model_zoo.architectures import build, input_spec
from model_zoo.export import Provenance, export_bundle
from model_zoo.header import PictureLimits, read_header
from model_zoo.preprocess import Stored, decode_for, prepare_reference
from model_zoo.spec import ArchitectureRef
from model_zoo.store import Store
from server.backends import BackendOptions
from server.backends.onnxruntime_providers import cuda_is_available
from server.backends.torch_engine.backend import device_for
from server.backends.torch_engine.device import TorchDevice
from server.backends.torch_engine.modes import MODES, RECORDED
from server.backends.torch_engine.resizing import Resizing
from server.backends.torch_engine.runner import TorchRunner
from server.config import Config
from server.float_models import with_float_models

STAGES = ("probe", "engine", "decode", "preprocess", "server")
SIZES = (1, 8, 64, 256)
MATRIX = 8192
DECODERS = ("simplejpeg", "nvidia-nvimgcodec-cu13", "nvidia-nvimgcodec-cu12", "torchvision")
PACKED_BYTES = 256 * 2**20


def probe(subject: Subject) -> Figures:
    """The device and its rates, in 10⁹ a second."""
    place, side = subject.device.place, MATRIX if subject.on_gpu else MATRIX // 8
    kind = torch.float16 if subject.on_gpu else torch.float32
    count = COPIED_BYTES if subject.on_gpu else COPIED_BYTES // 8
    here, pinned = torch.ones(count, dtype=torch.uint8), subject.device.staging((count,), torch.uint8).fill_(1)
    there = torch.ones(count, dtype=torch.uint8, device=place)
    left, right = (torch.randn(side, side, device=place).to(kind) for _ in range(2))
    each = {
        "copy_in_pageable": (lambda: there.copy_(here, non_blocking=True), count),
        "copy_in_pinned": (lambda: there.copy_(pinned, non_blocking=True), count),
        "copy_out_pinned": (lambda: pinned.copy_(there, non_blocking=True), count),
        "multiply": (lambda: left @ right, 2 * side**3),
    }
    rates = {f"{name}_g_per_s": work / repeated_s(subject, act) / 1e9 for name, (act, work) in each.items()}
    rates["copy_within_g_per_s"] = probe_copy(subject) / 1e9
    facts: Figures = {"device": str(place), "precision": str(kind).removeprefix("torch.")}
    if subject.on_gpu:
        shown = torch.cuda.get_device_properties(place)
        facts |= {"gpu": shown.name, "memory_gb": shown.total_memory / 1e9, "cuda": torch.version.cuda}
    found = {name: installed(name) for name in (*DECODERS, "torch", "triton", "onnxruntime-gpu")}
    return {**facts, "onnxruntime_on_cuda": cuda_is_available(), **found, **rates}


def engine(subject: Subject) -> list[Figures]:
    """A row for each way to run and size."""
    inputs = subject.inputs()
    exact = subject.network(exact=True)
    with torch.inference_mode():
        expected = exact(torch.from_numpy(inputs).to(subject.device.place)).argmax(1).cpu().numpy()
    moved = moved_bytes(subject)
    rate = probe_copy(subject)
    rows: list[Figures] = []
    for mode in subject.modes:
        try:
            runner = subject.runner(mode)
        except RuntimeError as error:
            rows.append({"mode": mode, "failed": " ".join(str(error).split())[:200]})
            continue
        rows += [_timed(subject, runner, size, inputs, expected, moved / rate) for size in subject.sizes]
    return rows + engine_rows(subject, inputs, expected, moved / rate)


def _timed(
    subject: Subject,
    runner: TorchRunner,
    size: int,
    inputs: NDArray[np.uint8],
    expected: NDArray[np.int64],
    least_s: float,
) -> Figures:
    batch = np.ascontiguousarray(np.resize(inputs, (size, *inputs.shape[1:])))
    told = runner.run(batch)[0].argmax(1)
    with torch.inference_mode():
        step_s = repeated_s(subject, lambda: runner.launch(size))
    return {
        "mode": runner.mode,
        "batch": size,
        "launch_ms": step_s * 1e3,
        "p50_ms": median_s(subject.seconds, lambda: runner.run(batch)) * 1e3,
        "images_per_s": size / step_s,
        "roofline_share": size / step_s * least_s,
        "agrees": float((told == np.resize(expected, size)).mean()),
    }


def resize(subject: Subject) -> list[Figures]:
    """A row for each mode of resizing and size of batch."""
    spec = subject.bundle.spec.input
    headed = [(data, read_header(data, PictureLimits())) for data in subject.pictures]
    stored = [decode_for(data, header, spec) for data, header in headed]
    reference = subject.inputs()
    whole = np.stack([prepare_reference(data, header, spec) for data, header in headed])
    with torch.inference_mode():
        pixels = torch.from_numpy(whole).to(subject.device.place)
        best = subject.network(exact=True)(pixels).argmax(1).cpu().numpy()
    runner = subject.runner("graph" if subject.device.records else "eager")
    rows: list[Figures] = []
    for exact in (True, False):
        resizing = Resizing(spec, max(subject.sizes), PACKED_BYTES, runner.device, exact=exact)
        runner.let_resize(resizing)
        each = [_resized(subject, runner, resizing, stored, reference, best, size) for size in subject.sizes]
        rows += [{"exact": exact} | row for row in each]
    return rows


def _resized(
    subject: Subject,
    runner: TorchRunner,
    resizing: Resizing,
    stored: list[Stored],
    reference: NDArray[np.uint8],
    best: NDArray[np.int64],
    size: int,
) -> Figures:
    pictures = [stored[number % len(stored)] for number in range(size)]
    told_best = runner.rank(pictures).indices[:, 0]
    count = resizing.pack(pictures)
    bucket = runner.buckets.fit(count)
    pixels = torch.empty((count, *reference.shape[1:]), dtype=torch.uint8, device=subject.device.place)
    with torch.inference_mode(), subject.device.stream():
        resizing.copy_in(bucket)
        resizing.resize_into(pixels)
        told = pixels.cpu().numpy().astype(np.int16)
    off = np.abs(told - np.resize(reference, told.shape))

    def alone() -> None:
        resizing.copy_in(bucket)
        resizing.resize_into(pixels)

    def both() -> None:
        resizing.copy_in(bucket)
        runner.launch(bucket, resized=True)

    with torch.inference_mode():
        alone_s = repeated_s(subject, alone)
        model_s = repeated_s(subject, lambda: runner.launch(bucket))
        both_s = repeated_s(subject, both)
    return {
        "batch": count,
        "worst_levels": int(off.max()),
        "mean_levels": float(off.mean()),
        "us_per_image": alone_s / count * 1e6,
        "model_share": model_s / both_s,
        "agrees": float((told_best == np.resize(best, len(told_best))).mean()),
    }


def moved_bytes(subject: Subject) -> int:
    """What the layers of one picture read and write, weights left out: a batch shares them."""
    network = subject.network()
    moved = 0

    def count(_: nn.Module, given: tuple[Tensor, ...], result: Tensor) -> None:
        nonlocal moved
        moved += given[0].nbytes + result.nbytes

    hooks = [
        layer.register_forward_hook(count) for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.Linear)
    ]
    spec = subject.bundle.spec.input
    one = torch.zeros((1, spec.height, spec.width, spec.channels), dtype=torch.uint8, device=subject.device.place)
    with torch.inference_mode():
        network(one)
    for hook in hooks:
        hook.remove()
    return moved


def installed(package: str) -> str | None:
    """Its version."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def make_parser() -> argparse.ArgumentParser:
    """The program's flags."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=STAGES)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--store", type=Path, metavar="DIR", help="folder of float bundles")
    parser.add_argument("--model", default="efficientnet_lite0", metavar="NAME")
    parser.add_argument("--network", metavar="NAME", help="an architecture of the zoo, untrained, in the model's place")
    parser.add_argument("--images", type=Path, metavar="DIR", help="JPEGs (default: scikit-learn's photos)")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="of batches")
    parser.add_argument("--modes", nargs="+", choices=MODES, help="ways to run (default: all that the device has)")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each figure")
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="JSON of what is done so far, written after every stage"
    )
    add_json_flag(parser)
    return parser


def subject_of(flags: argparse.Namespace, folder: Path) -> Subject:
    """Find or make the bundle.

    Raises:
        SystemExit: there is no such device.
    """
    if flags.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("torch finds no CUDA device here; --device cpu runs the same stages on the CPU")
    if flags.network:
        spec = input_spec(flags.network)
        torch.manual_seed(0)
        bundle = export_bundle(
            build(flags.network, 10),
            name="untrained",
            store=folder,
            spec=spec,
            labels=tuple(f"class {number}" for number in range(10)),
            provenance=Provenance(licence="Apache-2.0", source="untrained, for measuring"),
            architecture=ArchitectureRef(flags.network, {}),
        )
        store = folder
    else:
        config = Config(device="cuda", store=str(flags.store or ""), models=() if flags.store else (flags.model,))
        store = Path(with_float_models(config).store)
        bundle = Store(store).open(flags.model)
    threads = len(os.sched_getaffinity(0))

    def new_device() -> TorchDevice:
        return device_for(BackendOptions(flags.device, threads))

    return Subject(
        bundle=bundle,
        store=store,
        place=flags.device,
        new_device=new_device,
        device=new_device(),
        threads=threads,
        pictures=photos(flags.images),
        sizes=sorted(flags.sizes),
        modes=list(flags.modes or (RECORDED if flags.device == "cuda" else ("compiled", "eager"))),
        seconds=flags.seconds,
    )


def table(rows: list[Figures]) -> list[str]:
    """Rows under the names of their figures."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    cells = [names, *[[shown(row.get(name)) for name in names] for row in rows]]
    widths = [max(len(line[column]) for line in cells) for column in range(len(names))]
    return ["  " + "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in cells]


def shown(value: object) -> str:
    """A figure for people."""
    if not isinstance(value, float):
        return "-" if value is None else str(value)
    return f"{value:,.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def main() -> int:
    """Run the stages, print what they found; 1 where one failed."""
    flags = make_parser().parse_args()
    failed = False
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        subject = subject_of(flags, folder)
        acts: dict[str, Callable[[Subject], Figures | list[Figures]]] = {
            "probe": probe,
            "engine": engine,
            "decode": decode,
            "preprocess": resize,
            "server": server,
        }
        result: dict[str, object] = {"model": subject.bundle.spec.name, "device": subject.place}
        lines = [f"{subject.bundle.spec.name} on {subject.place}, {len(subject.pictures)} pictures"]
        for stage in [name for name in STAGES if name in flags.stages]:
            print(f"{stage} …", file=sys.stderr, flush=True)
            try:
                found = acts[stage](subject)
            except Exception as error:  # noqa: BLE001 - a GPU's time is dear: the other stages go on
                traceback.print_exc()
                found, failed = {"failed": " ".join(str(error).split())[:400]}, True
            result[stage] = found
            if flags.out:
                flags.out.write_text(json.dumps({"machine": machine(), **result}, indent=2))
            rows = found if isinstance(found, list) else [found]
            lines += ["", stage]
            lines += (
                table(rows) if len(rows) > 1 else [f"  {name:<24} {shown(value)}" for name, value in rows[0].items()]
            )
    publish(result, lines, as_json=flags.json)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
