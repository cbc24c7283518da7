"""From a message to a job: the frame is numbered, its model found, its picture's header read.

The model is looked up by name for every frame: a version that was swapped in answers the next
one, and a name that was unloaded is an error of each frame until it is back.
"""

import math
from collections.abc import Callable

from model_zoo.errors import ModelZooError
from model_zoo.header import Header, PictureLimits, read_header
from server.class_activation import refuse_unexplained
from server.config import Config
from server.errors import OverloadedError, Refusal, ServingError, refusal_of
from server.frame_history import FrameHistory
from server.job import Job, JobOptions
from server.metrics import Metrics
from server.streams.frame import BadFrameError, Frame, FrameReader
from server.streams.inflight import FrameModel, InFlight, Pending
from server.streams.options import StreamOptions, changed
from server.streams.teller import Teller
from server.tracing.contracts import FrameTrace, FrameTraces

Find = Callable[[StreamOptions], FrameModel]


class FrameTooLargeError(Exception):
    """More bytes than a frame may have: the one thing about a frame that ends its stream."""


class Intake:
    """Takes one stream's frames; each is told about once, now or by its model."""

    def __init__(
        self,
        options: StreamOptions,
        config: Config,
        metrics: Metrics,
        find: Find,
        teller: Teller,
        traces: FrameTraces | None = None,
    ) -> None:
        self.options = options
        self.inflight = InFlight(teller)
        self._config = config
        self._metrics = metrics
        self._find = find
        self._teller = teller
        self._traces = traces
        self._limits = PictureLimits(min(config.max_image_bytes, config.max_frame_bytes), config.max_image_pixels)
        self._reader = FrameReader()
        self._history: tuple[FrameModel, FrameHistory] | None = None

    def configure(self, message: dict[str, object]) -> None:
        """Change the options of the frames to come.

        Raises:
            InvalidRequestError, UnknownModelError: nothing is changed.
        """
        options = changed(self.options, message)
        model = self._find(options)
        refuse_unexplained(options.explain is not None, model.spec)
        self.options = options
        self._history = None
        self._teller.tally.model = model.spec.name
        self._teller.reconfigured(options.effective())

    def take(self, message: bytes, received_s: float) -> None:
        """One frame.

        Raises:
            FrameTooLargeError: it is not told about.
        """
        try:
            frame = self._reader.read(message)
        except BadFrameError as error:
            refusal = Refusal("invalid_request", str(error))
            self._teller.refuse_frame(error.seq, error.captured_at, refusal)
            return
        if len(frame.picture) > self._config.max_frame_bytes:
            raise FrameTooLargeError(f"a frame may have {self._config.max_frame_bytes:,} bytes")
        trace = None if self._traces is None else self._traces.begin(frame.stamp.seq, received_s)
        try:
            self.inflight.submit(self._pending(frame, received_s, trace))
        except (ServingError, ModelZooError) as error:
            refusal = refusal_of(error)
            if trace is not None:
                trace.end(refusal.code)
            if isinstance(error, OverloadedError):
                self._teller.drop(frame.stamp, "overloaded")
            else:
                self._teller.refuse_frame(frame.stamp.seq, frame.stamp.captured_at, refusal)

    def _pending(self, frame: Frame, received_s: float, trace: FrameTrace | None) -> Pending:
        options = self.options
        model = self._find(options)
        refuse_unexplained(options.explain is not None, model.spec)
        lifetime_ms = self._config.max_frame_age_ms if options.policy == "latest" else self._config.timeout_ms
        threshold = -math.inf if options.threshold is None else options.threshold
        job = Job(
            frame.picture,
            self._header(frame),
            received_s + lifetime_ms / 1e3,
            options.priority,
            JobOptions(options.top_k, threshold, options.explain is not None),
            stream=self,
            history=self._history_of(model),
            trace=None if trace is None else trace.picture,
        )
        return Pending(frame.stamp, received_s, options, model, job, trace)

    def _header(self, frame: Frame) -> Header:
        try:
            return read_header(frame.picture, self._limits)
        except ModelZooError as error:
            self._metrics.header_refused(error.code)
            raise

    def _history_of(self, model: FrameModel) -> FrameHistory | None:
        """What the gate and the smoothing remember: of this model, under these options."""
        if not self.options.gate and not self.options.smoothing:
            return None
        if self._history is None or self._history[0] is not model:
            self._history = (model, FrameHistory(self.options.gate, self.options.smoothing))
        return self._history[1]
