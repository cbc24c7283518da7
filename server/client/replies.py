"""What a server answers, as types; ``…_of`` reads them from JSON that a stranger may have sent."""

import base64
import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from server.client.errors import UnexpectedReplyError

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Prediction:
    """One class: its index, its label, and its score after the model's activation."""

    index: int
    label: str
    score: float


@dataclass(frozen=True, slots=True)
class StageTimes:
    """Where the server's time for one picture went, in milliseconds."""

    queue: float
    decode: float
    preprocess: float
    infer: float
    postprocess: float

    @property
    def total(self) -> float:
        """Their sum."""
        return self.queue + self.decode + self.preprocess + self.infer + self.postprocess


@dataclass(frozen=True, slots=True)
class ClassActivation:
    """Where in the picture the best class was seen: a grey PNG of height × width, bright is much.

    Level 255 is ``maximum``, in units of the logit. ``box`` is where the map lies on the
    picture as shown, and may reach beyond it: left, top, right, bottom, in pixels.
    """

    index: int
    height: int
    width: int
    maximum: float
    box: tuple[float, float, float, float]
    png: bytes


@dataclass(frozen=True, slots=True)
class PictureFailure:
    """Why one picture has no predictions."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class PictureResult:
    """One picture's answer, best class first; or its ``error``, and then the rest is empty.

    ``width`` and ``height`` are those a person sees, after EXIF turned the picture. ``unknown``: the best class
    scores below the threshold that the model's bundle holds.
    """

    predictions: tuple[Prediction, ...]
    width: int | None = None
    height: int | None = None
    error: PictureFailure | None = None
    timing_ms: StageTimes | None = None
    batch_size: int | None = None
    class_activation: ClassActivation | None = None
    unknown: bool = False

    @property
    def best(self) -> Prediction | None:
        """The class with the highest score; None when the picture failed or ``threshold`` left none."""
        return self.predictions[0] if self.predictions else None


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to one ``predict``: results in the order of the pictures."""

    model: str
    version: int
    request_id: str
    total_ms: float
    results: tuple[PictureResult, ...]

    @property
    def best(self) -> Prediction | None:
        """The best class of the first picture."""
        return self.results[0].best


@dataclass(frozen=True, slots=True)
class ServedModel:
    """One entry of the catalogue; ``entry`` is all that the server says of it."""

    name: str
    version: int
    state: str
    task: str
    precision: str
    classes: int
    height: int
    width: int
    backend: str
    device: str
    entry: Document

    @property
    def reference(self) -> str:
        """``name/version``."""
        return f"{self.name}/{self.version}"


@contextlib.contextmanager
def reading(what: str) -> Iterator[None]:
    """Turn a document of another shape into one clear error.

    Raises:
        UnexpectedReplyError: something inside missed a name or had another type.
    """
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise UnexpectedReplyError(
            f"the server's {what} is not as expected ({type(error).__name__}: {error}): "
            "is this a Quickeye server, of about this client's version?"
        ) from error


def predictions_of(entries: list[Document]) -> tuple[Prediction, ...]:
    """Best first."""
    return tuple(Prediction(int(one["index"]), str(one["label"]), float(one["score"])) for one in entries)


def stage_times_of(entry: Document | None) -> StageTimes | None:
    """None when there are none."""
    if entry is None:
        return None
    stages = ("queue", "decode", "preprocess", "infer", "postprocess")
    return StageTimes(*(float(entry[stage]) for stage in stages))


def class_activation_of(entry: Document | None) -> ClassActivation | None:
    """The PNG is base64 in JSON and bytes in MessagePack."""
    if entry is None:
        return None
    png = entry["png"]
    data = png if isinstance(png, bytes) else base64.b64decode(png, validate=True)
    left, top, right, bottom = (float(edge) for edge in entry["box"])
    return ClassActivation(
        index=int(entry["index"]),
        height=int(entry["height"]),
        width=int(entry["width"]),
        maximum=float(entry["maximum"]),
        box=(left, top, right, bottom),
        png=data,
    )


def result_of(entry: Document) -> PictureResult:
    """One entry of ``results``."""
    error = entry.get("error")
    return PictureResult(
        predictions=predictions_of(entry["predictions"]),
        width=_whole(entry.get("width")),
        height=_whole(entry.get("height")),
        error=None if error is None else PictureFailure(str(error["code"]), str(error["message"])),
        timing_ms=stage_times_of(entry.get("timing_ms")),
        batch_size=_whole(entry.get("batch_size")),
        class_activation=class_activation_of(entry.get("class_activation")),
        unknown=bool(entry.get("unknown", False)),
    )


def reply_of(document: Document) -> Reply:
    """The answer to ``predict``.

    Raises:
        UnexpectedReplyError.
    """
    with reading("reply"):
        results = tuple(result_of(entry) for entry in document["results"])
        if not results:
            raise ValueError("no results")
        return Reply(
            model=str(document["model"]),
            version=int(document["version"]),
            request_id=str(document["request_id"]),
            total_ms=float(document["timing_ms"]["total"]),
            results=results,
        )


def models_of(entries: list[Document]) -> tuple[ServedModel, ...]:
    """The catalogue.

    Raises:
        UnexpectedReplyError.
    """
    with reading("catalogue"):
        return tuple(_model_of(entry) for entry in entries)


def _model_of(entry: Document) -> ServedModel:
    return ServedModel(
        name=str(entry["name"]),
        version=int(entry["version"]),
        state=str(entry["state"]),
        task=str(entry["task"]),
        precision=str(entry["precision"]),
        classes=int(entry["classes"]),
        height=int(entry["input"]["height"]),
        width=int(entry["input"]["width"]),
        backend=str(entry["engine"]["backend"]),
        device=str(entry["engine"]["device"]),
        entry=entry,
    )


def _whole(value: int | None) -> int | None:
    return None if value is None else int(value)
