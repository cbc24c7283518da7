"""What a class-activation map costs, and that it leaves the logits alone.

    python -m benchmarks.class_activation [--store DIR] [--model NAME] [--images DIR] [--batch 1] [--rounds 60] [--json]

Four forms of one model on every engine that runs it: without the map; with it, but not asked
for; with it, asked for; and the textbook's form, a 1×1 convolution of the features by a second,
float copy of the classifier. They run in turns, A B C D, D C B A …, three times each, of which the
shortest counts. Times are CPU time of the process, so that other work on the machine disturbs
them little; told are medians, and the median over the rounds of what a form takes more than the
first. The logits of all forms are compared bit by bit, on ``--images`` or the bundle's own check
pictures. One instance, one thread.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median, quantiles

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from benchmarks.machine import add_json_flag, publish
from model_zoo.bundle import Bundle, BundleDraft, write_bundle
from model_zoo.check import CheckSet
from model_zoo.errors import ModelZooError
from model_zoo.graph_class_activation import remove_class_activation
from model_zoo.graph_pooled_head import find_pooled_head
from model_zoo.header import PictureLimits, read_header
from model_zoo.preprocess import prepare
from model_zoo.spec import CLASS_ACTIVATION
from model_zoo.store import Store, parse_reference, shipped_store
from server.backends import Backend, BackendOptions
from server.backends.errors import BackendError
from server.backends.selection import open_backend
from server.picture_files import picture_files

PLAIN, UNASKED, ASKED, TEXTBOOK = "without a map", "map not asked for", "map asked for", "textbook, asked for"
Pictures = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Row:
    """One form on one engine."""

    backend: str
    form: str
    model_mb: float
    cpu_ms: float
    extra_percent: float
    extra_percent_quartiles: tuple[float, float]
    logits_identical: bool


@dataclass(frozen=True, slots=True)
class Opened:
    """One form, open on an engine; ``asked``: its map is wanted."""

    backend: Backend
    bundle: Bundle
    asked: bool

    def runner(self, batch: Pictures) -> Callable[[], object]:
        """Runs the batch once."""
        return lambda: self.backend.run(batch, self.asked)


def without_map(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph as it was before.

    Raises:
        ModelZooError: it has no map.
    """
    if not remove_class_activation(model):
        raise ModelZooError("this model has no class-activation map to measure")
    return model


def textbook(model: onnx.ModelProto) -> onnx.ModelProto:
    """All classes' maps by a convolution, of which the first class's is picked; weights in float32."""
    head = find_pooled_head(model)
    if head is None:
        raise ModelZooError("this model has no class-activation map to measure")
    graph, stored = model.graph, head.weights
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    rows = values[stored.name].astype(np.float32)
    if stored.scale:
        rows = (rows - (values[stored.zero] if stored.zero else 0)) * np.expand_dims(
            values[stored.scale], 1 - stored.axis
        )
    rows = rows.T if stored.axis else rows
    kernel = np.ascontiguousarray(rows.reshape(*rows.shape[:2], 1, 1), np.float32)
    graph.initializer.append(numpy_helper.from_array(kernel, "textbook/kernel"))
    graph.node.extend(
        [
            helper.make_node("ArgMax", ["logits"], ["textbook/best"], axis=1, keepdims=1),
            helper.make_node("Conv", [head.features, "textbook/kernel"], ["textbook/maps"]),
            helper.make_node("GatherND", ["textbook/maps", "textbook/best"], [CLASS_ACTIVATION], batch_dims=1),
        ]
    )
    graph.output.append(
        helper.make_tensor_value_info(CLASS_ACTIVATION, TensorProto.FLOAT, ["N", head.height, head.width])
    )
    return model


def variant(bundle: Bundle, name: str, model: onnx.ModelProto, store: Path) -> Bundle:
    """A bundle of another graph for the same model."""
    spec, check = bundle.spec, bundle.check()
    present = {output.name for output in model.graph.output}
    given = [output.name for output in spec.outputs if output.name in present]
    outputs = {name: check.outputs[name] for name in given}
    check = CheckSet(check.pictures, outputs, {name: check.atol[name] for name in given})
    return write_bundle(
        store,
        BundleDraft(
            name=name,
            input=spec.input,
            labels=bundle.labels,
            model=model.SerializeToString(deterministic=True),
            check=check,
            card=f"# {name}\n",
            licence=spec.licence,
            source=spec.source,
            outputs=tuple(output for output in spec.outputs if output.name in given),
            precision=spec.precision,
            runs_on=spec.runs_on,
        ),
    )


def forms(bundle: Bundle, store: Path) -> dict[str, tuple[Bundle, bool]]:
    """Each form's bundle, and whether its map is asked for."""
    plain = without_map(onnx.load_from_string(bundle.read_model()))
    first = variant(bundle, "plain", plain, store)
    return {
        PLAIN: (first, False),
        UNASKED: (bundle, False),
        ASKED: (bundle, True),
        TEXTBOOK: (variant(bundle, "textbook", textbook(plain), store), True),
    }


def measure(runs: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """CPU seconds of each form, one per round."""
    taken: dict[str, list[float]] = {form: [] for form in runs}
    for number in range(rounds + 1):
        for form in list(runs) if number % 2 else list(runs)[::-1]:
            times = []
            for _ in range(3):
                started_s = time.process_time()
                runs[form]()
                times.append(time.process_time() - started_s)
            if number:  # the first round warms up
                taken[form].append(min(times))
    return taken


def rows_of(name: str, opened: dict[str, Opened], pictures: Pictures, flags: argparse.Namespace) -> list[Row]:
    """All forms on one engine."""
    batch = np.ascontiguousarray(pictures[np.arange(flags.batch) % len(pictures)])
    taken = measure({form: one.runner(batch) for form, one in opened.items()}, flags.rounds)
    expected = logits_of(opened[PLAIN].backend, pictures)
    found = []
    for form, one in opened.items():
        extra = [100 * (mine / plain - 1) for mine, plain in zip(taken[form], taken[PLAIN], strict=True)]
        low, middle, high = quantiles(extra, n=4) if len(extra) > 1 else extra * 3
        found.append(
            Row(
                backend=name,
                form=form,
                model_mb=round(len(one.bundle.read_model()) / 1e6, 2),
                cpu_ms=round(median(taken[form]) * 1e3, 3),
                extra_percent=round(middle, 2),
                extra_percent_quartiles=(round(low, 2), round(high, 2)),
                logits_identical=bool(np.array_equal(logits_of(one.backend, pictures), expected)),
            )
        )
    return found


def logits_of(backend: Backend, pictures: Pictures) -> NDArray[np.float32]:
    """Of all pictures, one by one."""
    return np.concatenate([backend.run(pictures[row : row + 1].copy())[0] for row in range(len(pictures))])


def read_pictures(bundle: Bundle, folder: Path | None) -> Pictures:
    """At input size: those of a folder, or the bundle's own."""
    if folder is None:
        return bundle.check().pictures
    limits, spec = PictureLimits(), bundle.spec.input
    encoded = [file.read_bytes() for file in picture_files(folder, recursive=True)]
    return np.stack([prepare(data, read_header(data, limits), spec) for data in encoded])


def run(bundle: Bundle, flags: argparse.Namespace) -> list[Row]:
    """Every engine of the bundle that is here."""
    pictures = read_pictures(bundle, flags.images)
    options = BackendOptions(device="cpu", threads=1, max_batch_size=flags.batch)
    found: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        made = forms(bundle, Path(folder))
        for name in bundle.spec.runs_on:
            try:
                opened = {
                    form: Opened(open_backend(one, options, name).backend, one, asked)
                    for form, (one, asked) in made.items()
                }
            except BackendError as error:
                print(f"{name}: {error}", file=sys.stderr)
                continue
            found += rows_of(name, opened, pictures, flags)
            for form in opened.values():
                form.backend.close()
    return found


def table(found: list[Row], pictures: int) -> list[str]:
    """For people."""
    lines = [
        f"{'':<13}{'':<21}{'model.onnx':>11}{'CPU time':>11}{'more':>10}   middle half; logits of {pictures} pictures"
    ]
    for one in found:
        low, high = one.extra_percent_quartiles
        figures = f"{one.model_mb:>8.2f} MB{one.cpu_ms:>8.2f} ms{one.extra_percent:>+8.2f} %"
        same = "identical" if one.logits_identical else "DIFFERENT"
        lines.append(f"{one.backend:<13}{one.form:<21}{figures}   {low:+.2f} to {high:+.2f} %; {same}")
    return lines


def main(arguments: list[str] | None = None) -> int:
    """The program; 1 when there is nothing to measure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.class_activation", description=__doc__)
    parser.add_argument("--store", type=Path, metavar="DIR", help="folder of bundles (default: the shipped ones)")
    parser.add_argument("--model", default="efficientnet_lite0", metavar="NAME", help="NAME or NAME/VERSION")
    parser.add_argument("--images", type=Path, metavar="DIR", help="photos whose logits are compared")
    parser.add_argument("--batch", type=int, default=1, help="pictures per run (1)")
    parser.add_argument("--rounds", type=int, default=60, help="times that each form has its turn (60)")
    add_json_flag(parser)
    flags = parser.parse_args(arguments)
    try:
        bundle = (Store(flags.store) if flags.store else shipped_store()).open(*parse_reference(flags.model))
        pictures = len(read_pictures(bundle, flags.images))
        found = run(bundle, flags)
    except ModelZooError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    name = f"{bundle.spec.name}/{bundle.spec.version}"
    result = {"model": name, "pictures": pictures, "rows": [asdict(one) for one in found]}
    publish(result, table(found, pictures), as_json=flags.json)
    return 0 if found else 1


if __name__ == "__main__":
    sys.exit(main())
