"""A stranger's ONNX classifier becomes a bundle, or is refused with the reason.

The file is read, its input and output are found (``onnx_facts.py``), pixels
and logits are put around it (``graph_wrap.py``), and the result is measured:
the original graph, fed by numpy with normalised pictures one at a time, and
the wrapped one, fed with pixels one, three and four at a time, must agree.
What does not agree is tried in a plainer form (the softmax left in, the batch
left fixed), then refused. Where the graph has what it takes, it gets a
class-activation map as a second output. Nothing of the file is executed but its operators,
and no other file is opened.
"""

from pathlib import Path

import numpy as np
import onnx
from pydantic import JsonValue

from model_zoo.bundle import Bundle, BundleDraft
from model_zoo.check import make_check
from model_zoo.errors import ImportRefusedError
from model_zoo.graph_class_activation import outputs_of
from model_zoo.graph_tidy import set_metadata
from model_zoo.graph_wrap import OUTPUT_NAME
from model_zoo.manifest import Lineage, Pass, refuse_bad_name
from model_zoo.onnx_agreement import Wrapped, first_that_agrees, run_wrapped, with_class_activation
from model_zoo.onnx_original import ImportOptions, Original, given_resize, read_bytes, read_original
from model_zoo.onnx_safety import RUNTIME_DOMAIN, nodes, parse_model
from model_zoo.spec import Activation, InputSpec, OutputSpec, Resize
from model_zoo.store import Store


def import_onnx(file: Path | bytes, *, name: str, store: Path, options: ImportOptions | None = None) -> Bundle:
    """Write a bundle of an ONNX classifier into a store.

    Args:
        file: the model, or its path.
        name: the bundle's; gets the next free version.
        store: where to; must not be the shipped one.
    Raises:
        ImportRefusedError: the graph can't be served; the message says why and what to do.
        BundleError: a name that can be none, a file that is not ONNX or not whole, or the store refuses the bundle.
    """
    options = options or ImportOptions()
    refuse_bad_name(name)
    Store(store).refuse_if_read_only()
    original = read_original(read_bytes(file), options)
    wrapped = with_class_activation(first_that_agrees(original), original)
    return Store(store).write(_draft(name, original, wrapped, options))


def _output_spec(original: Original, wrapped: Wrapped) -> OutputSpec:
    rows = original.expected
    likelihoods = rows.shape[1] > 1 and bool(((rows >= 0) & (rows <= 1)).all())
    sums_to_one = likelihoods and bool(np.allclose(rows.sum(axis=1), 1, atol=1e-3))
    if wrapped.taken_off is None and sums_to_one:
        return OutputSpec(OUTPUT_NAME, "scores", "none")
    activation: Activation = "sigmoid" if wrapped.taken_off == "Sigmoid" or rows.shape[1] == 1 else "softmax"
    return OutputSpec(OUTPUT_NAME, "logits", activation)


def _labels(original: Original, options: ImportOptions) -> tuple[str, ...]:
    classes = original.expected.shape[1]
    labels = options.labels or original.facts.names or tuple(f"class {index}" for index in range(classes))
    if len(labels) != classes:
        where = "the labels given" if options.labels else "the file's metadata"
        raise ImportRefusedError(f"the graph has {classes} classes, {where} {len(labels)} names")
    return labels


def usual_resize(height: int, width: int, *, exact: bool = False) -> Resize:
    """The usual evaluation crop, 224 of 256; ``exact`` or small pictures without a margin; not square: stretch."""
    if height != width:
        return Resize("stretch", max(height, width), "bilinear")
    return Resize("shorter_side", height if exact or height < 64 else round(height * 256 / 224), "bilinear")


def _draft(name: str, original: Original, wrapped: Wrapped, options: ImportOptions) -> BundleDraft:
    labels = _labels(original, options)
    resize = given_resize(options, usual_resize(*original.size, exact=original.facts.unit_pixels))
    height, width = original.size
    spec = InputSpec(
        height=height,
        width=width,
        channels=original.input.channels,
        colour="rgb" if original.input.channels == 3 else "grey",
        resize=resize,
        crop="centre" if resize.mode == "shorter_side" else "none",
        graph_mean=original.normalisation[0],
        graph_std=original.normalisation[1],
        max_batch=wrapped.batch,
    )
    outputs = outputs_of(wrapped.data, _output_spec(original, wrapped))
    only_here = any(node.domain == RUNTIME_DOMAIN for node in nodes(original.model))
    return BundleDraft(
        name=name,
        input=spec,
        labels=labels,
        model=_with_facts(wrapped.data, labels, original.size),
        check=make_check(
            original.pictures,
            lambda pictures: run_wrapped(wrapped, pictures),
            names=[output.name for output in outputs],
            precision=original.precision,
        ),
        card=_card(name, original, options),
        licence=options.licence,
        source=options.source,
        outputs=outputs,
        precision=original.precision,
        runs_on=("onnxruntime",) if only_here else ("onnxruntime", "openvino"),
        lineage=_lineage(original, wrapped),
    )


def _with_facts(data: bytes, labels: tuple[str, ...], size: tuple[int, int]) -> bytes:
    model = parse_model(data)
    names = repr(dict(enumerate(labels)))
    set_metadata(model, {"task": "classify", "imgsz": f"[{size[0]}, {size[1]}]", "names": names})
    wrapped: bytes = model.SerializeToString(deterministic=True)
    return wrapped


def _lineage(original: Original, wrapped: Wrapped) -> Lineage:
    facts: dict[str, JsonValue] = {
        "sha256": original.digest,
        "opset": original.opset,
        "layout": original.input.layout,
        "input_type": original.input.element,
        "input_batch": original.input.batch,
        "output": original.output,
        "taken_off": wrapped.taken_off,
    }
    return Lineage(passes=(Pass(name="import_onnx", parameters=facts),), tools={"onnx": onnx.__version__})


def _card(name: str, original: Original, options: ImportOptions) -> str:
    return (
        f"# {name}\n\nImported from an ONNX file (sha256 {original.digest}).\n\n"
        f"- Source: {options.source}\n- Licence: {options.licence}\n"
        f"- Normalisation inside the graph (0–255 units): mean {list(original.normalisation[0])}, "
        f"std {list(original.normalisation[1])}\n- Accuracy: not measured here.\n"
    )
