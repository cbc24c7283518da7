"""What a stream tells, as types; ``event_of`` reads them from a message of the server.

Every frame that ``send`` numbered gets exactly one of ``Result``, ``Dropped`` and ``FrameError``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from server.client.replies import (
    ClassActivation,
    Document,
    Prediction,
    StageTimes,
    class_activation_of,
    predictions_of,
    reading,
    stage_times_of,
)

Policy = Literal["latest", "all"]


@dataclass(frozen=True, slots=True)
class EffectiveOptions:
    """The options as the server applies them; ``gate`` and ``smoothing`` are off at 0."""

    top_k: int
    threshold: float | None
    priority: int
    policy: str
    only_changed: bool
    gate: float
    smoothing: float
    explain: str | None


@dataclass(frozen=True, slots=True)
class Limits:
    """What the server takes; ``max_inflight`` frames may be unanswered before it stops to read (policy ``all``)."""

    max_frame_bytes: int
    max_inflight: int
    max_frame_age_ms: float
    formats: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Ready:
    """The first event: who answers, and how."""

    model: str
    version: int
    session: str
    options: EffectiveOptions
    limits: Limits


@dataclass(frozen=True, slots=True)
class Result:
    """A frame's answer.

    ``age_ms`` is the frame's age since the server had it, ``round_trip_ms`` since this side began to send it.
    ``reused``: the gate found it the same as the last one run. ``unchanged`` (with ``only_changed``): the best
    class is that of the last result told, and ``predictions`` is empty. ``unknown``: the best class scores below the
    threshold that the model's bundle holds.
    """

    seq: int
    captured_at: float | None
    model: str
    version: int
    predictions: tuple[Prediction, ...]
    width: int
    height: int
    timing_ms: StageTimes | None
    batch_size: int
    age_ms: float
    reused: bool = False
    unchanged: bool = False
    class_activation: ClassActivation | None = None
    round_trip_ms: float | None = None
    unknown: bool = False

    @property
    def best(self) -> Prediction | None:
        """The class with the highest score; None when ``unchanged`` or ``threshold`` left none."""
        return self.predictions[0] if self.predictions else None


@dataclass(frozen=True, slots=True)
class Dropped:
    """A frame without a result: ``superseded`` by a newer one, ``stale`` or the server ``overloaded``.

    ``sent`` False: it was superseded here, before it was sent.
    """

    seq: int
    captured_at: float | None
    reason: str
    sent: bool = True


@dataclass(frozen=True, slots=True)
class FrameError:
    """A frame that failed, with the codes of docs/http.md; the stream goes on."""

    seq: int | None
    captured_at: float | None
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class ConfigChanged:
    """From here on the stream works by these options, and perhaps another model."""

    model: str | None
    version: int | None
    options: EffectiveOptions


@dataclass(frozen=True, slots=True)
class DropCounts:
    """Frames that were dropped, by reason."""

    superseded: int
    stale: int
    overloaded: int


@dataclass(frozen=True, slots=True)
class FrameAge:
    """Age of answered frames, in milliseconds."""

    p50: float
    p99: float


@dataclass(frozen=True, slots=True)
class Stats:
    """The server's count of this stream so far; the last event of a stream that ended well."""

    seconds: float
    frames: int
    results: int
    reused: int
    dropped: DropCounts
    errors: int
    bytes: int
    frame_age_ms: FrameAge | None


Event = Ready | Result | Dropped | FrameError | ConfigChanged | Stats


def event_of(document: Document) -> Event | None:
    """One message of the server; None for a type that this client does not know.

    Raises:
        UnexpectedReplyError: a known type of another shape.
    """
    with reading("event"):
        read = _READERS.get(document["type"])
        return None if read is None else read(document)


def _options_of(document: Document) -> EffectiveOptions:
    threshold, explain = document.get("threshold"), document.get("explain")
    return EffectiveOptions(
        top_k=int(document["top_k"]),
        threshold=None if threshold is None else float(threshold),
        priority=int(document["priority"]),
        policy=str(document["policy"]),
        only_changed=bool(document["only_changed"]),
        gate=float(document["gate"]),
        smoothing=float(document["smoothing"]),
        explain=None if explain is None else str(explain),
    )


def _ready_of(document: Document) -> Ready:
    limits = document["limits"]
    return Ready(
        model=str(document["model"]),
        version=int(document["version"]),
        session=str(document["session"]),
        options=_options_of(document["options"]),
        limits=Limits(
            max_frame_bytes=int(limits["max_frame_bytes"]),
            max_inflight=int(limits["max_inflight"]),
            max_frame_age_ms=float(limits["max_frame_age_ms"]),
            formats=tuple(str(name) for name in limits["formats"]),
        ),
    )


def _result_of(document: Document) -> Result:
    return Result(
        seq=int(document["seq"]),
        captured_at=_seconds(document),
        model=str(document["model"]),
        version=int(document["version"]),
        predictions=predictions_of(document["predictions"]),
        width=int(document["width"]),
        height=int(document["height"]),
        timing_ms=stage_times_of(document.get("timing_ms")),
        batch_size=int(document["batch_size"]),
        age_ms=float(document["age_ms"]),
        reused=bool(document.get("reused", False)),
        unchanged=bool(document.get("unchanged", False)),
        class_activation=class_activation_of(document.get("class_activation")),
        unknown=bool(document.get("unknown", False)),
    )


def _dropped_of(document: Document) -> Dropped:
    return Dropped(int(document["seq"]), _seconds(document), str(document["reason"]))


def _error_of(document: Document) -> FrameError:
    seq = document.get("seq")
    number = None if seq is None else int(seq)
    return FrameError(number, _seconds(document), str(document["code"]), str(document["message"]))


def _config_of(document: Document) -> ConfigChanged:
    model, version = document.get("model"), document.get("version")
    return ConfigChanged(
        None if model is None else str(model), None if version is None else int(version), _options_of(document)
    )


def _stats_of(document: Document) -> Stats:
    dropped, age = document["dropped"], document.get("frame_age_ms")
    return Stats(
        seconds=float(document["seconds"]),
        frames=int(document["frames"]),
        results=int(document["results"]),
        reused=int(document["reused"]),
        dropped=DropCounts(int(dropped["superseded"]), int(dropped["stale"]), int(dropped["overloaded"])),
        errors=int(document["errors"]),
        bytes=int(document["bytes"]),
        frame_age_ms=None if age is None else FrameAge(float(age["p50"]), float(age["p99"])),
    )


def _seconds(document: Document) -> float | None:
    captured_at = document.get("captured_at")
    return None if captured_at is None else float(captured_at)


_READERS: dict[str, Callable[[Document], Event]] = {
    "ready": _ready_of,
    "result": _result_of,
    "dropped": _dropped_of,
    "error": _error_of,
    "config": _config_of,
    "stats": _stats_of,
}
