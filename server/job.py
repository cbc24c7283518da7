"""One picture on its way to an answer: what every protocol submits and gets back.

What is made for every picture is not frozen, though nobody changes an answer: a frozen
object takes three times as long to make.
"""

import asyncio
import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from model_zoo.header import Header
from server.batch_timeline import BatchTimeline
from server.errors import Refusal
from server.frame_history import FrameHistory
from server.tracing.picture_trace import PictureTrace

Encoded = bytes | memoryview


@dataclass(slots=True)
class Prediction:
    """One class of an answer; ``score`` after the output's activation."""

    index: int
    label: str
    score: float


@dataclass(slots=True)
class StageTimes:
    """Seconds spent in each stage of one picture's path."""

    queue: float = 0.0
    decode: float = 0.0
    preprocess: float = 0.0
    infer: float = 0.0
    postprocess: float = 0.0


STAGES = ("queue", "decode", "preprocess", "infer", "postprocess")


@dataclass(slots=True)
class Answer:
    """What a picture got: classes, best first, and where the time went.

    ``best`` is the first class whatever the threshold. ``width`` and ``height``
    are the picture's as shown (EXIF applied). ``reused``: nothing was run for this
    frame, its scores and ``batch_size`` are those of the last one of its stream that
    was. ``class_activation``, (h, w), ≥ 0: where the picture speaks for the best
    class; None when it was not asked for or the model has none. ``unknown``: the best
    class scores below the bundle's threshold.
    """

    predictions: list[Prediction]
    best: Prediction
    width: int
    height: int
    times: StageTimes
    batch_size: int
    reused: bool = False
    class_activation: NDArray[np.float32] | None = None
    unknown: bool = False


@dataclass(frozen=True, slots=True)
class JobOptions:
    """What the caller wants to see: at most ``top_k`` classes scoring at least ``threshold``, and ``explain``: why."""

    top_k: int = 5
    threshold: float = -math.inf
    explain: bool = False


@dataclass(slots=True, eq=False)
class Job:
    """One picture, its deadline and its place in the order.

    ``picture`` is encoded bytes with their ``header``, or uint8 pixels already at
    the model's input size with ``header`` None. ``deadline_s`` and ``arrived_s``
    are on the batcher's clock. ``priority`` 0 is first, 9 last. Jobs with the
    same ``stream`` (any hashable) are frames: served in their order, in turn with
    other streams; None marks a post. ``history`` is what a stream remembers of the
    frames before; such frames are run one after the other. ``future`` is resolved on
    its event loop, once. ``batch`` is that which it was run in, where such figures are kept.
    ``trace``: it is sampled.
    """

    picture: Encoded | NDArray[np.uint8]
    header: Header | None
    deadline_s: float
    priority: int = 5
    options: JobOptions = field(default_factory=JobOptions)
    stream: object | None = None
    arrived_s: float = 0.0
    waiting: bool = False
    finished: bool = False
    times: StageTimes = field(default_factory=StageTimes)
    result: "Answer | BaseException | None" = None
    future: "asyncio.Future[Answer] | None" = None
    history: FrameHistory | None = None
    batch: BatchTimeline | None = None
    trace: PictureTrace | None = None

    @property
    def size_bytes(self) -> int:
        """What this job holds in memory while it waits."""
        picture = self.picture
        return len(picture) if isinstance(picture, bytes) else picture.nbytes


@dataclass(slots=True)
class PictureOutcome:
    """One picture of a request: its answer, or why there is none."""

    answer: Answer | None
    refusal: Refusal | None
