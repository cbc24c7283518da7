"""The traces of a stream's frames.

A stream may last for hours, which no trace should: each sampled frame has a trace of its own, that links to the
stream's handshake. Whether it is sampled is decided for each frame anew.
"""

from opentelemetry.trace import Link, Span, SpanContext

from model_zoo.spec import ModelSpec
from server.batcher import Clock
from server.job import Answer, Job
from server.tracing.picture_trace import PictureTrace
from server.tracing.spans import Spans, exemplar_of, inside, refused
from server.tracing.stages import write_stages


class OneFrame:
    """Keeps ``FrameTrace``. It ends with its event, or with its stream."""

    def __init__(self, spans: Spans, span: Span, clock: Clock) -> None:
        context = span.get_span_context()
        self.picture = PictureTrace(context, exemplar_of(context))
        self._spans = spans
        self._span = span
        self._clock = clock
        self._ended = False

    def left(self, job: Job, answer: Answer | None, model: ModelSpec) -> None:
        """See ``FrameTrace``."""
        if self._ended:
            return
        self._span.set_attribute("quickeye.model.name", model.name)
        self._span.set_attribute("quickeye.model.version", model.version)
        self._span.set_attribute("quickeye.frame.reused", answer is not None and answer.reused)
        write_stages(self._spans, inside(self._span), job, self.picture, answer, self._clock())
        if self.picture.batch is not None:
            self._span.add_link(self.picture.batch)

    def end(self, outcome: str) -> None:
        """See ``FrameTrace``."""
        if self._ended:
            return
        self._ended = True
        self._span.set_attribute("quickeye.outcome", outcome)
        refused(self._span, outcome)
        self._span.end(self._spans.unix_ns(self._clock()))


class StreamFrames:
    """Keeps ``FrameTraces``, of one stream, whose own span is ``session`` when that is sampled."""

    def __init__(self, spans: Spans, session: SpanContext | None, clock: Clock) -> None:
        self._spans = spans
        self._links = () if session is None else (Link(session),)
        self._clock = clock

    def begin(self, seq: int, received_s: float) -> OneFrame | None:
        """See ``FrameTraces``."""
        span = self._spans.begin("frame", received_s, links=self._links)
        if not span.get_span_context().trace_flags.sampled:
            return None
        span.set_attribute("quickeye.frame.seq", seq)
        return OneFrame(self._spans, span, self._clock)
