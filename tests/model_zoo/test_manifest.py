"""``manifest.json``: what is read, what is refused, and that nothing but BundleError comes out."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_zoo.errors import BundleError
from model_zoo.manifest import (
    MAX_MANIFEST_BYTES,
    Abstain,
    Accuracy,
    FilePart,
    Latency,
    Lineage,
    Pass,
    parse_manifest,
)
from model_zoo.manifest_spec import manifest_of, spec_of
from model_zoo.spec import ArchitectureRef, InputSpec, ModelSpec, OutputSpec, Resize
from tests.model_zoo.drafts import INPUT

LOGITS = {"name": "logits", "kind": "logits", "activation": "softmax"}
ABSTAIN = {
    "threshold": 0.5,
    "promise": "max_error",
    "limit": 0.02,
    "confidence": 0.95,
    "dataset": "shoes",
    "n": 400,
    "answered": 0.9,
    "error": 0.01,
}
FILE = FilePart(path="model.onnx", sha256="0" * 64, bytes=3)
SPEC = ModelSpec(
    name="lite0",
    version=2,
    task="classification",
    input=INPUT,
    outputs=(OutputSpec("logits", "logits", "softmax"),),
    precision="int8",
    runs_on=("onnxruntime", "openvino"),
    licence="Apache-2.0",
    source="tests",
    architecture=ArchitectureRef(
        "efficientnet_lite0", {"num_classes": 10, "dropout": 0.5, "wide": True, "act": "relu"}
    ),
    parent="lite0/1",
)


def content(**changes: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON
    """A manifest that is read, as JSON values."""
    made: dict[str, Any] = json.loads(manifest_of(SPEC, [FILE]).to_json())
    return made | changes


def refusal(changed: dict[str, Any]) -> str:
    """Why a manifest is refused."""
    with pytest.raises(BundleError) as caught:
        parse_manifest(json.dumps(changed).encode())
    return str(caught.value)


def test_the_fields_are_the_designs() -> None:
    """The contract's names, no more and no fewer."""
    assert set(content()) == {
        *("schema", "name", "version", "task", "input", "outputs", "precision", "runs_on", "architecture", "files"),
        *("lineage", "accuracy", "latency", "licence", "source"),
    }
    assert set(content()["input"]) == {
        *("height", "width", "channels", "colour", "resize", "crop", "graph_mean", "graph_std", "batch"),
    }
    assert set(content()["input"]["resize"]) == {"mode", "size", "filter", "antialias"}
    assert content()["input"]["batch"] == {"max": None}
    assert set(content()["lineage"]) == {"parent", "passes", "seed", "recipe", "tools"}


def test_a_manifest_with_every_field_comes_back() -> None:
    """Written, read, the same."""
    made = manifest_of(
        SPEC,
        [FILE],
        lineage=Lineage(
            passes=(Pass(name="quantise", parameters={"range": "minmax", "levels": [1, {"a": None}]}),),
            seed=7,
            recipe="recipes/lite0.toml",
            tools={"onnxruntime": "1.20"},
        ),
        accuracy=[Accuracy(dataset="imagenet", split="val", n=20, metric="top1", value=0.9, ci95=(0.7, 0.97))],
        latency=[
            Latency(device="a cpu", backend="openvino", threads=1, batch=1, p50_ms=6.5, images_per_s=150.0),
        ],
    )
    assert parse_manifest(made.to_json()) == made
    assert made.lineage.parent == "lite0/1"


sides = st.integers(1, 4096)


@st.composite
def specs(draw: st.DrawFn) -> ModelSpec:
    """Any model that can be described."""
    height, width, channels = draw(sides), draw(sides), draw(st.sampled_from([1, 3]))
    mode = draw(st.sampled_from(["shorter_side", "stretch", "letterbox"]))
    size = draw(st.integers(max(height, width), 8192)) if mode == "shorter_side" else draw(st.integers(0, 8192))
    floats = st.floats(-1e6, 1e6)
    many = {"min_size": channels, "max_size": channels}
    spec = InputSpec(
        height=height,
        width=width,
        channels=channels,  # type: ignore[arg-type]
        colour="rgb" if channels == 3 else "grey",
        resize=Resize(mode, size, draw(st.sampled_from(["nearest", "bicubic"])), draw(st.booleans())),
        crop="centre" if mode == "shorter_side" else "none",
        graph_mean=tuple(draw(st.lists(floats, **many))),
        graph_std=tuple(draw(st.lists(st.floats(1e-6, 1e6), **many))),
        max_batch=draw(st.none() | st.integers(1, 64)),
    )
    text = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), max_size=30)
    return replace(SPEC, input=spec, licence=draw(text), source=draw(text), version=draw(st.integers(1, 10**6)))


@given(specs())
def test_a_spec_survives_the_disk(spec: ModelSpec) -> None:
    """Spec → JSON → spec."""
    assert spec_of(parse_manifest(manifest_of(spec, [FILE]).to_json())) == spec


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("name", "../etc", "name"),
        ("name", "Upper", "name"),
        ("name", "a\n", "name"),
        ("name", "a" * 65, "name"),
        ("name", ".hidden", "name"),
        ("version", 0, "version"),
        ("version", "1", "version"),
        ("version", True, "version"),
        ("version", 1.0, "version"),
        ("task", "chat", "task"),
        ("precision", "fp4", "precision"),
        ("outputs", [], "outputs"),
        ("outputs", [{"name": "scores", "kind": "logits", "activation": "softmax"}], "logits"),
        ("outputs", [LOGITS] * 2, "twice"),
        ("outputs", [LOGITS, {"name": "cam", "kind": "class_activation", "activation": "none"}], "must be called so"),
        ("outputs", [LOGITS, {"name": "class_activation", "kind": "boxes", "activation": "none"}], "must be called so"),
        ("runs_on", [], "runs_on"),
        ("licence", "a\x1b[2Jb", "control characters"),
        ("source", "x" * 2001, "source"),
        ("surprise", 1, "surprise"),
        ("files", None, "files"),
        ("files", [{"path": "model.onnx", "sha256": "0" * 64, "bytes": 1}] * 2, "twice"),
        ("files", [{"path": "manifest.json", "sha256": "0" * 64, "bytes": 1}], "must not list"),
        ("schema", 2, "schema 2 has abstain"),
        ("schema", 3, "reads 1 and 2"),
        ("abstain", ABSTAIN, "schema 1 has not"),
        ("schema", True, "schema"),
        ("schema", None, "schema"),
        ("schema_number", 1, "schema_number"),
        ("lineage", {"parent": "lite0"}, "parent"),
    ],
)
def test_a_wrong_field_is_named(field: str, value: object, reason: str) -> None:
    """The message says which field."""
    assert reason in refusal(content(**{field: value}))


def test_a_threshold_is_schema_2_and_reads_back_the_same() -> None:
    """A manifest without one is what it was before there were thresholds."""
    made = manifest_of(SPEC, [FILE], abstain=Abstain.model_validate(ABSTAIN))
    assert made.schema_number == 2
    assert parse_manifest(made.to_json()) == made
    assert json.loads(made.to_json())["abstain"] == ABSTAIN
    assert "abstain" not in content()
    assert content()["schema"] == 1


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"threshold": -0.1}, "threshold"),
        ({"threshold": 1.5}, "threshold"),
        ({"threshold": "0.5"}, "threshold"),
        ({"threshold": True}, "threshold"),
        ({"limit": 0.0}, "limit"),
        ({"limit": 1.0}, "limit"),
        ({"confidence": 1.0}, "confidence"),
        ({"promise": "best_effort"}, "promise"),
        ({"n": 0}, "n"),
        ({"answered": 1.1}, "answered"),
        ({"error": -0.1}, "error"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_an_absurd_threshold_is_refused(changes: dict[str, object], reason: str) -> None:
    """Scores and shares are fractions."""
    assert f"abstain.{reason}" in refusal(content(schema=2, abstain=ABSTAIN | changes))


@pytest.mark.parametrize(
    "changes",
    [{"outputs": [{**LOGITS, "activation": "none"}]}, {"task": "embedding"}, {"task": "detection"}],
)
def test_a_threshold_needs_scores_between_0_and_1(changes: dict[str, object]) -> None:
    """Of raw logits nobody knows what 0.5 means."""
    assert "softmax or sigmoid" in refusal(content(schema=2, abstain=ABSTAIN, **changes))


@pytest.mark.parametrize(
    "path",
    ["../x", "/etc/passwd", "a/b", "..", ".", "", ".hidden", "a\\b", "c:\\x", "a\0b", "a\n", "-rf", "ünder", "x" * 101],
)
def test_a_path_out_of_the_bundle_is_refused(path: str) -> None:
    """A listed file is a plain name in the bundle's folder."""
    assert "files.0.path" in refusal(content(files=[{"path": path, "sha256": "0" * 64, "bytes": 1}]))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"height": 0}, "height"),
        ({"height": -8}, "height"),
        ({"width": 4097}, "width"),
        ({"channels": 4}, "channels"),
        ({"channels": 1}, "channels"),
        ({"colour": "grey"}, "colour"),
        ({"graph_mean": [0.0]}, "3 numbers each"),
        ({"graph_std": [1.0, 1.0]}, "3 numbers each"),
        ({"graph_std": [1.0, 1.0, 0.0]}, "graph_std"),
        ({"crop": "none"}, "centre"),
        ({"resize": {"mode": "shorter_side", "size": 4}}, "smaller"),
        ({"resize": {"mode": "stretch", "size": -1}}, "size"),
        ({"batch": {"max": 0}}, "max"),
        ({"batch": {"max": None, "min": 1}}, "min"),
    ],
)
def test_an_absurd_input_is_refused(changes: dict[str, object], reason: str) -> None:
    """Sizes, counts and combinations that no engine could run."""
    assert reason in refusal(content(input=content()["input"] | changes))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "JSON"),
        (b"[]", "schema"),
        (b"null", "schema"),
        (b"\xff\xfe", "JSON"),
        (b'{"schema": 1, "schema": 1}', "same key twice"),
        (b'{"schema": NaN}', "NaN"),
        (b'{"schema": 1, "x": Infinity}', "Infinity"),
        (b'{"schema": 1, "x": 1e999}', "too large"),
        (b'{"schema": ' + b"9" * 5000 + b"}", "JSON"),
        (b"[" * 100_000, "JSON"),
        (b" " * (MAX_MANIFEST_BYTES + 1), "limit"),
    ],
)
def test_what_is_not_a_manifest_is_refused(data: bytes, reason: str) -> None:
    """Broken, ambiguous or oversized JSON."""
    with pytest.raises(BundleError, match=reason):
        parse_manifest(data)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def paths(value: object, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where every value of a JSON document lies."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(inner for key, item in items for inner in paths(item, (*path, key)))]


@given(st.data(), json_values)
def test_any_change_is_read_or_refused(data: st.DataObject, value: object) -> None:
    """Whatever stands anywhere: a manifest that can be written again, or BundleError."""
    changed = content()
    *way, last = data.draw(st.sampled_from([path for path in paths(changed) if path]))
    place: Any = changed
    for key in way:
        place = place[key]
    place[last] = value
    try:
        manifest = parse_manifest(json.dumps(changed).encode())
    except BundleError:
        return
    assert parse_manifest(manifest.to_json()) == manifest


@given(st.data())
def test_damaged_bytes_are_read_or_refused(data: st.DataObject) -> None:
    """Bytes replaced and cut anywhere: never another exception."""
    damaged = bytearray(json.dumps(content()).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    try:
        manifest = parse_manifest(bytes(damaged[: data.draw(st.integers(0, len(damaged)))]))
    except BundleError:
        return
    assert manifest.schema_number == 1


def test_a_spec_that_no_reader_takes_is_not_written() -> None:
    """The writer holds to the reader's rules."""
    with pytest.raises(BundleError, match="height"):
        manifest_of(replace(SPEC, input=replace(INPUT, height=0)), [FILE])
    with pytest.raises(BundleError, match="parent"):
        manifest_of(SPEC, [FILE], lineage=Lineage(parent="other/1"))
