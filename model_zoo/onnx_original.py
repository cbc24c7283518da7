"""A stranger's graph: what it takes, and what it says of four pictures when numpy prepares them."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from model_zoo.check import synthetic_pictures
from model_zoo.errors import ImportRefusedError
from model_zoo.graph_wrap import modernise, opset_of
from model_zoo.manifest import MAX_SIDE_PX
from model_zoo.onnx_external import with_weights
from model_zoo.onnx_facts import Facts, GraphInput, Layout, read_facts, read_input, read_precision
from model_zoo.onnx_run import open_graph
from model_zoo.onnx_safety import nodes, parse_model, refuse_external_data, refuse_foreign_operators
from model_zoo.spec import Precision, Resize, ResizeFilter, ResizeMode

MAX_MODEL_BYTES = 2**30
MAX_NODES = 100_000
MAX_CLASSES = 100_000

Rows = NDArray[np.float32]
Pictures = NDArray[np.uint8]
Normalisation = tuple[tuple[float, ...], tuple[float, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportOptions:
    """What the file does not say of itself. ``mean`` and ``std`` per channel in 0–255 units."""

    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    labels: tuple[str, ...] | None = None
    height: int | None = None
    width: int | None = None
    layout: Layout | None = None
    output: str | None = None
    resize_mode: ResizeMode | None = None
    resize_size: int | None = None
    resize_filter: ResizeFilter | None = None
    licence: str = "unknown"
    source: str = "imported from a file"


@dataclass(frozen=True, slots=True)
class Original:
    """The stranger's graph, as it came and as today's form, and what it says of our pictures."""

    digest: str
    model: onnx.ModelProto
    opset: int
    input: GraphInput
    facts: Facts
    size: tuple[int, int]
    normalisation: Normalisation
    precision: Precision
    pictures: Pictures
    output: str
    expected: Rows


def read_bytes(file: Path | bytes) -> bytes:
    """The model's bytes, with what it keeps in files beside it.

    Raises:
        ImportRefusedError: unreadable, or too large.
    """
    if isinstance(file, bytes):
        return file
    try:
        if file.stat().st_size > MAX_MODEL_BYTES:
            raise ImportRefusedError(f"{file} is larger than {MAX_MODEL_BYTES} bytes")
        data = file.read_bytes()
    except OSError as error:
        raise ImportRefusedError(f"{file} can't be read: {error.strerror}") from error
    return with_weights(data, file.parent, MAX_MODEL_BYTES)


def read_original(data: bytes, options: ImportOptions) -> Original:
    """Take a file apart and run it.

    Raises:
        ImportRefusedError: what it takes or gives is not what a classifier does, or can't be told.
        BundleError: not ONNX, or not one file.
    """
    if len(data) > MAX_MODEL_BYTES:
        raise ImportRefusedError(f"the file is larger than {MAX_MODEL_BYTES} bytes")
    refuse_external_data(data)
    stranger = parse_model(data)
    _refuse_odd_graph(stranger)
    source = read_input(stranger, options.layout)
    facts = read_facts(stranger)
    size = _size(source, facts, options)
    normalisation = _normalisation(source, facts, options)
    pictures = synthetic_pictures(*size, source.channels)
    opset = opset_of(stranger)
    model = modernise(stranger)
    # Engines take no opset below 7: there the converted graph is all that can be run.
    run = open_graph(data if opset >= 7 else model.SerializeToString(), source.name)
    outputs = [run(_feed(picture, source, normalisation)) for picture in pictures]
    output, expected = _choose_output(outputs, source.batch or 1, options)
    digest = hashlib.sha256(data).hexdigest()
    return Original(
        digest, model, opset, source, facts, size, normalisation, read_precision(model), pictures, output, expected
    )


def _refuse_odd_graph(model: onnx.ModelProto) -> None:
    count = sum(1 for _ in nodes(model))
    if not 1 <= count <= MAX_NODES:
        raise ImportRefusedError(f"the graph has {count} operators; 1 to {MAX_NODES} are taken")
    refuse_foreign_operators(model)


def _size(source: GraphInput, facts: Facts, options: ImportOptions) -> tuple[int, int]:
    sides = []
    told = facts.size or (None, None)
    for side, fixed, asked, fact in (
        ("height", source.height, options.height, told[0]),
        ("width", source.width, options.width, told[1]),
    ):
        if fixed is not None and asked is not None and fixed != asked:
            raise ImportRefusedError(f"the graph takes a {side} of {fixed} only, not {asked}; leave --{side} out")
        value = next((v for v in (fixed, asked, fact) if v is not None), None)
        if value is None:
            raise ImportRefusedError(f"the graph takes any {side}; say what it was trained with: --{side} 224")
        sides.append(value)
    if not all(1 <= side <= MAX_SIDE_PX for side in sides):
        raise ImportRefusedError(f"height and width must be 1 to {MAX_SIDE_PX} pixels, not {sides[0]} and {sides[1]}")
    return sides[0], sides[1]


def _normalisation(source: GraphInput, facts: Facts, options: ImportOptions) -> Normalisation:
    """What the graph expects; pixels as they are when nobody says otherwise."""
    if source.element == "uint8":
        if options.mean or options.std:
            raise ImportRefusedError("the graph takes uint8 pixels and normalises them itself; leave --mean, --std out")
        return (0.0,) * source.channels, (1.0,) * source.channels
    unit = 255.0 if facts.unit_pixels and not options.mean else 1.0
    return given_normalisation(options, source.channels, (0.0,) * source.channels, (unit,) * source.channels)


def given_normalisation(
    options: ImportOptions, channels: int, mean: tuple[float, ...], std: tuple[float, ...]
) -> Normalisation:
    """Mean and std of the options, else those given, per channel in 0–255 units.

    Raises:
        ImportRefusedError: a wrong count, NaN, a std of 0 or less, or fractions.
    """
    mean, std = options.mean or mean, options.std or std
    if {len(mean), len(std)} != {channels}:
        raise ImportRefusedError(f"--mean and --std need {channels} numbers each, one per channel")
    if not np.isfinite([*mean, *std]).all() or min(std) <= 0:
        raise ImportRefusedError("--mean must be finite, --std finite and above 0")
    _refuse_fractions(mean, std)
    return mean, std


def given_resize(options: ImportOptions, usual: Resize) -> Resize:
    """``usual`` with what the options say instead."""
    return Resize(
        mode=options.resize_mode or usual.mode,
        size=options.resize_size or usual.size,
        filter=options.resize_filter or usual.filter,
        antialias=usual.antialias,
    )


def _refuse_fractions(mean: tuple[float, ...], std: tuple[float, ...]) -> None:
    """The usual mistake: 0.485 of a picture scaled to 0–1, where 123.675 of 255 is meant."""
    doubtful = {"mean": 0 < max(map(abs, mean)) <= 1, "std": min(std) < 1}
    if any(doubtful.values()):
        values = {"mean": mean, "std": std}
        hint = " ".join(f"--{key} {','.join(f'{v * 255:.6g}' for v in values[key])}" for key in values if doubtful[key])
        raise ImportRefusedError(
            f"--mean and --std are in 0–255 units, these look like fractions; did you mean {hint}?"
        )


def _feed(picture: Pictures, source: GraphInput, normalisation: Normalisation) -> NDArray[np.generic]:
    """What the original graph expects for one picture, by numpy: an independent way to the same values."""
    values: NDArray[np.generic] = picture
    if source.element != "uint8":
        values = (picture.astype(np.float32) - np.array(normalisation[0], np.float32)) / np.array(
            normalisation[1], np.float32
        )
    if source.layout == "NCHW":
        values = values.transpose(2, 0, 1)
    return np.repeat(values[None], source.batch or 1, axis=0).astype(source.element)


def _choose_output(outputs: Sequence[dict[str, object]], batch: int, options: ImportOptions) -> tuple[str, Rows]:
    """The output that holds one value per class, and its rows for our pictures (4, classes)."""
    rows = {
        name: np.stack([np.asarray(one[name])[0].reshape(-1) for one in outputs]).astype(np.float32)
        for name, value in outputs[0].items()
        if _is_per_class(value, batch)
    }
    wanted = [options.output] if options.output else ["logits"] if "logits" in rows and len(rows) > 1 else list(rows)
    if options.labels and len(wanted) > 1:
        wanted = [name for name in wanted if rows[name].shape[1] == len(options.labels)] or wanted
    if len(wanted) == 1 and wanted[0] in rows:
        if not np.isfinite(rows[wanted[0]]).all():
            raise ImportRefusedError(f"the output '{wanted[0]}' holds NaN or infinity for ordinary pictures")
        return wanted[0], rows[wanted[0]]
    shapes = ", ".join(f"'{name}' {_shape_of(value)}" for name, value in outputs[0].items())
    if not rows:
        raise ImportRefusedError(f"no output has the shape (N, classes); there are: {shapes}")
    raise ImportRefusedError(f"which output holds the classes? say it with --output NAME; there are: {shapes}")


def _is_per_class(value: object, batch: int) -> bool:
    if not isinstance(value, np.ndarray) or value.ndim < 2 or value.dtype.kind != "f" or len(value) != batch:
        return False
    sizes = value.shape[1:]
    return bool(1 <= max(sizes) <= MAX_CLASSES and value.size == batch * max(sizes))


def _shape_of(value: object) -> str:
    return f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else f"a {type(value).__name__}"
