"""``manifest.json``: what a bundle says of itself, read as a stranger's data.

Every model here forbids unknown fields and wrong types: a manifest with a
field that this version does not know is refused, not half understood. Adding
a field is a new schema number, and a manifest says the lowest that has all its
fields: one without ``abstain`` is read by versions that know schema 1 alone.
Sizes, counts and texts are bounded, so that no manifest can cost more than its one MiB.
"""

import json
import math
import re
from collections.abc import Iterable
from typing import Annotated, Literal, NoReturn, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from model_zoo.errors import BundleError
from model_zoo.spec import (
    CLASS_ACTIVATION,
    Activation,
    Colour,
    Crop,
    OutputKind,
    Precision,
    ResizeFilter,
    ResizeMode,
    Task,
)

SCHEMAS = (1, 2)
MAX_MANIFEST_BYTES = 2**20
MAX_BUNDLE_BYTES = 2 * 2**30
MAX_SIDE_PX = 4096
NAME_PATTERN = r"[a-z0-9][a-z0-9_.-]{0,63}"
NAME_IN_WORDS = "1 to 64 of a-z, 0-9, _ . and -, the first a letter or a digit"

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def _printable(text: str) -> str:
    if _CONTROL.search(text):
        raise ValueError("contains control characters")
    return text


Text = Annotated[str, Field(max_length=2000), AfterValidator(_printable)]
Word = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.:+-]{0,63}$")]
Side = Annotated[int, Field(ge=1, le=MAX_SIDE_PX)]
Positive = Annotated[float, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class ResizePart(_Part):
    """``input.resize``; ``size`` is read by ``shorter_side`` alone."""

    mode: ResizeMode
    size: int = Field(ge=0, le=2 * MAX_SIDE_PX)
    filter: ResizeFilter = "bicubic"
    antialias: bool = True


class BatchPart(_Part):
    """``input.batch``: the largest batch that the graph takes, null for any."""

    max: int | None = Field(default=None, ge=1, le=65536)


class InputPart(_Part):
    """``input``: see ``spec.InputSpec``."""

    height: Side
    width: Side
    channels: Literal[1, 3]
    colour: Colour
    resize: ResizePart
    crop: Crop
    graph_mean: tuple[float, ...] = Field(max_length=3)
    graph_std: tuple[Positive, ...] = Field(max_length=3)
    batch: BatchPart = BatchPart()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.colour == "rgb") != (self.channels == 3):
            raise ValueError(f"colour {self.colour} does not go with {self.channels} channels")
        if {len(self.graph_mean), len(self.graph_std)} != {self.channels}:
            raise ValueError(f"graph_mean and graph_std need {self.channels} numbers each, one per channel")
        if self.resize.mode == "shorter_side":
            if self.crop != "centre":
                raise ValueError("resize 'shorter_side' needs crop 'centre'")
            if self.resize.size < max(self.height, self.width):
                raise ValueError(f"resize.size {self.resize.size} is smaller than the crop {self.height}×{self.width}")
        return self


class OutputPart(_Part):
    """One of ``outputs``, in graph order."""

    name: Word
    kind: OutputKind
    activation: Activation


class ArchitecturePart(_Part):
    """``architecture``: the entry of ``ARCHITECTURES`` that the float weights fit."""

    name: Word
    arguments: dict[Word, int | float | bool | Text] = Field(default={}, max_length=64)


class FilePart(_Part):
    """One of ``files``: a plain name in the bundle's folder (no subfolders), its sha256 and size."""

    path: str = Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}$")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    bytes: int = Field(ge=0, le=MAX_BUNDLE_BYTES)


class Pass(_Part):
    """One compression or training step that led here."""

    name: Word
    parameters: dict[str, JsonValue] = Field(default={}, max_length=256)


class Lineage(_Part):
    """Where the bundle comes from; ``parent`` is ``name/version``, ``tools`` maps a tool to its version."""

    parent: str | None = Field(default=None, pattern=rf"^{NAME_PATTERN}/[1-9][0-9]{{0,8}}$")
    passes: tuple[Pass, ...] = Field(default=(), max_length=64)
    seed: int | None = Field(default=None, ge=-(2**63), lt=2**64)
    recipe: Text | None = None
    tools: dict[Word, Text] = Field(default={}, max_length=64)


class Accuracy(_Part):
    """A measured figure: ``value`` on ``n`` samples; fractions for rates; ``reference`` says what it compares with."""

    dataset: Text
    split: Text
    n: int = Field(ge=1)
    metric: Word
    value: float
    ci95: tuple[float, float] | None = None
    reference: Text | None = None


class Latency(_Part):
    """A measured speed; ``device`` names the machine, not only its kind."""

    device: Text
    backend: Word
    threads: int = Field(ge=1)
    batch: int = Field(ge=1)
    p50_ms: float = Field(gt=0)
    images_per_s: float = Field(gt=0)


class Abstain(_Part):
    """Which pictures are answered ``unknown``: those whose best class scores below ``threshold``; schema 2.

    ``promise`` says what it was chosen for, with ``confidence``, by ``n`` pictures like those of ``dataset``:
    ``max_error``, that at most ``limit`` of the answers given are wrong, or ``max_unknown``, that at most ``limit``
    of the pictures are unknown. ``answered`` and ``error`` (of the answers given; null without labels, or where none
    is given) are what was counted on those pictures.
    """

    threshold: Fraction
    promise: Literal["max_error", "max_unknown"]
    limit: float = Field(gt=0, lt=1)
    confidence: float = Field(gt=0, lt=1)
    dataset: Text
    n: int = Field(ge=1)
    answered: Fraction
    error: Fraction | None = None


class Manifest(_Part):
    """The whole of ``manifest.json``."""

    schema_number: Literal[1, 2] = Field(default=1, alias="schema")
    name: str = Field(pattern=rf"^{NAME_PATTERN}$")
    version: int = Field(ge=1, le=999_999_999)
    task: Task
    input: InputPart
    outputs: tuple[OutputPart, ...] = Field(min_length=1, max_length=16)
    precision: Precision
    runs_on: tuple[Word, ...] = Field(min_length=1, max_length=16)
    architecture: ArchitecturePart | None = None
    files: tuple[FilePart, ...] = Field(max_length=64)
    lineage: Lineage = Lineage()
    accuracy: tuple[Accuracy, ...] = Field(default=(), max_length=256)
    latency: tuple[Latency, ...] = Field(default=(), max_length=256)
    abstain: Abstain | None = None
    licence: Text
    source: Text

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        _distinct("outputs", (output.name for output in self.outputs))
        _distinct("files", (file.path.lower() for file in self.files))
        if any(file.path.lower() == "manifest.json" for file in self.files):
            raise ValueError("files must not list manifest.json")
        if self.task == "classification" and self.outputs[0].name != "logits":
            raise ValueError("the first output of a classifier must be called 'logits'")
        if any((output.kind == CLASS_ACTIVATION) != (output.name == CLASS_ACTIVATION) for output in self.outputs):
            raise ValueError(f"the output of kind {CLASS_ACTIVATION}, and no other, must be called so")
        if self.outputs[0].kind == CLASS_ACTIVATION:
            raise ValueError(f"{CLASS_ACTIVATION} can't be the first output")
        _refuse_bad_abstain(self)
        return self

    def to_json(self) -> bytes:
        """The bytes of ``manifest.json``."""
        content = self.model_dump(mode="json", by_alias=True, exclude={"abstain"} if self.abstain is None else None)
        return (json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def refuse_bad_name(name: str) -> None:
    """Say what a model may be called, before anything is made of it.

    Raises:
        BundleError: it may not be called that.
    """
    if not re.fullmatch(NAME_PATTERN, name):
        shown = name if len(name) <= 40 else f"{name[:40]}…"
        raise BundleError(f"{shown!r} can't be a model's name: a name is {NAME_IN_WORDS}")


def _refuse_bad_abstain(manifest: Manifest) -> None:
    """A threshold goes with scores of 0 to 1, and with a schema that has it."""
    if (manifest.schema_number == 2) != (manifest.abstain is not None):
        raise ValueError("schema 2 has abstain, and schema 1 has not")
    if manifest.abstain is None:
        return
    if manifest.task != "classification" or manifest.outputs[0].activation == "none":
        raise ValueError("abstain needs a classifier whose first output has the activation softmax or sigmoid")


def _distinct(field: str, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ValueError(f"{field} names '{name}' twice")
        seen.add(name)


def parse_manifest(data: bytes) -> Manifest:
    """Read ``manifest.json``.

    Raises:
        BundleError: too large, not JSON, a key twice, NaN or infinity, an
            unknown schema, an unknown field, or a value out of its bounds.
    """
    if len(data) > MAX_MANIFEST_BYTES:
        raise BundleError(f"manifest.json has {len(data)} bytes; the limit is {MAX_MANIFEST_BYTES}")
    try:
        content = json.loads(
            data.decode(), object_pairs_hook=_unique_keys, parse_constant=_refuse_constant, parse_float=_finite
        )
    except (ValueError, RecursionError) as error:
        raise BundleError(f"manifest.json is not valid JSON: {error}") from error
    schema = content.get("schema") if isinstance(content, dict) else None
    if type(schema) is not int or schema not in SCHEMAS:
        known = " and ".join(map(str, SCHEMAS))
        raise BundleError(f"manifest.json has schema {str(schema)[:40]!r}; this version of quickeye reads {known}")
    try:
        return Manifest.model_validate_json(data)
    except ValidationError as error:
        raise BundleError(f"manifest.json is refused: {explain(error)}") from error


def explain(error: ValidationError) -> str:
    """The first few faults of a pydantic error, one ``field: reason`` each, without the input's text."""
    faults = error.errors(include_url=False, include_input=False)
    texts = [f"{'.'.join(map(str, fault['loc'])) or 'manifest'}: {fault['msg']}"[:300] for fault in faults[:3]]
    more = f" (and {len(faults) - 3} more)" if len(faults) > 3 else ""
    return "; ".join(texts) + more


def _unique_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    content = dict(pairs)
    if len(content) != len(pairs):
        raise ValueError("an object has the same key twice")
    return content


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a JSON number")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:20]} is too large a number")
    return number
