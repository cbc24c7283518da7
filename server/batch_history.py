"""The last batches of every model: what ``GET /debug/batches`` tells.

A ring of ``KEPT`` batches for each name, across its versions; the oldest makes room.
What is kept of a picture is figures alone: its bytes and its answer are let go of.
Written by the instances' threads, a moment before the answers leave: who has its answer finds
its batch here.
"""

import itertools
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from model_zoo.errors import ModelZooError, UnknownModelError
from server.batch_timeline import BatchTimeline
from server.errors import ServingError
from server.job import STAGES, Answer, Job, StageTimes

KEPT = 256  # batches of one model

Json = dict[str, Any]  # what JSON can hold


@dataclass(frozen=True, slots=True)
class KeptPicture:
    """One picture of a batch. ``size`` is (width, height) as stored, None for bare pixels."""

    arrived_s: float
    is_frame: bool
    priority: int
    size: tuple[int, int] | None
    times: StageTimes
    outcome: str
    reused: bool


@dataclass(frozen=True, slots=True)
class KeptBatch:
    """One batch that was run, and its pictures in the order in which they were decoded."""

    number: int
    version: int
    timeline: BatchTimeline
    pictures: tuple[KeptPicture, ...]


class BatchHistory:
    """One model's ring."""

    def __init__(self, kept: int = KEPT) -> None:
        self._numbers = itertools.count(1)
        self._batches: deque[KeptBatch] = deque(maxlen=kept)

    def add(self, version: int, batch: list[Job]) -> None:
        """Keep a batch whose jobs all have their ``result``; one without a timeline is passed over."""
        timeline = batch[0].batch
        if timeline is not None:
            pictures = tuple([_kept(job) for job in batch])
            self._batches.append(KeptBatch(next(self._numbers), version, timeline, pictures))

    def newest_first(self) -> list[KeptBatch]:
        """What is kept."""
        return sorted(self._batches.copy(), key=lambda kept: kept.timeline.formed_s, reverse=True)


class BatchHistories:
    """The rings of all models, by name. ``clock`` is the batchers'."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._by_name: dict[str, BatchHistory] = {}

    def of(self, name: str) -> BatchHistory:
        """The ring of a name, which a version loaded later goes on with."""
        return self._by_name.setdefault(name, BatchHistory())

    def told(self, model: str | None, limit: int) -> Json:
        """The newest ``limit`` batches of one model, or of all together, newest first; see docs/profiling.md.

        Raises:
            UnknownModelError: no model of that name was served.
        """
        if model is not None and model not in self._by_name:
            raise UnknownModelError(f"no model '{model[:80]}' was served since the server started")
        chosen = {name: ring for name, ring in self._by_name.copy().items() if model in (None, name)}
        found = [(name, kept) for name, ring in chosen.items() for kept in ring.newest_first()]
        found.sort(key=lambda pair: pair[1].timeline.formed_s, reverse=True)
        unix_s = time.time() - self._clock()  # what turns an instant of the clock into the time of day
        return {"kept_per_model": KEPT, "batches": [_batch(name, kept, unix_s) for name, kept in found[:limit]]}


def _kept(job: Job) -> KeptPicture:
    result, header = job.result, job.header
    return KeptPicture(
        arrived_s=job.arrived_s,
        is_frame=job.stream is not None,
        priority=job.priority,
        size=None if header is None else (header.width, header.height),
        times=job.times,
        outcome="ok" if isinstance(result, Answer) else _code(result),
        reused=isinstance(result, Answer) and result.reused,
    )


def _code(error: BaseException | None) -> str:
    return error.code if isinstance(error, ServingError | ModelZooError) else "internal"


def _batch(name: str, kept: KeptBatch, unix_s: float) -> Json:
    timeline = kept.timeline

    def after_formed(instant_s: float | None) -> float | None:
        return None if instant_s is None else _ms(instant_s - timeline.formed_s)

    return {
        "model": name,
        "version": kept.version,
        "id": kept.number,
        "instance": timeline.instance,
        "size": timeline.size,
        "run": timeline.ran,
        "formed_at": round(timeline.formed_s + unix_s, 6),
        "closed_by": timeline.closed_by,
        "left_waiting": timeline.left,
        "run_ms": after_formed(timeline.run_s),
        "ran_ms": after_formed(timeline.ran_s),
        "ended_ms": after_formed(timeline.ended_s),
        "predicted_ms": _ms(timeline.predicted_s),
        "measured_ms": None if timeline.measured_s is None else _ms(timeline.measured_s),
        "errors": sum(picture.outcome != "ok" for picture in kept.pictures),
        "pictures": [_picture(picture, timeline) for picture in kept.pictures],
    }


def _picture(picture: KeptPicture, timeline: BatchTimeline) -> Json:
    width, height = picture.size or (None, None)
    ended_s = timeline.formed_s if timeline.ended_s is None else timeline.ended_s
    return {
        "kind": "frame" if picture.is_frame else "post",
        "priority": picture.priority,
        "width": width,
        "height": height,
        "arrived_ms": _ms(picture.arrived_s - timeline.formed_s),
        "total_ms": _ms(ended_s - picture.arrived_s),
        "timing_ms": {stage: _ms(getattr(picture.times, stage)) for stage in STAGES},
        "outcome": picture.outcome,
        "reused": picture.reused,
    }


def _ms(seconds: float) -> float:
    return round(seconds * 1e3, 3)
