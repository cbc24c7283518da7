"""The trace of one request, or of one WebSocket from its handshake to its close."""

from collections.abc import Mapping, Sequence

from opentelemetry.trace import Span

from server.batcher import Clock
from server.exchange import Exchange
from server.job import Job, PictureOutcome
from server.tracing.current import TRACE_ID
from server.tracing.frame_trace import StreamFrames
from server.tracing.picture_trace import PictureTrace
from server.tracing.spans import Spans, exemplar_of, fault, inside, refused
from server.tracing.stages import write_stages

# what an access line says -> the attribute that says it
RECORDED = {
    "model": "quickeye.model.name",
    "version": "quickeye.model.version",
    "images": "quickeye.images",
    "batch_size": "quickeye.batch.size",
    "close": "quickeye.stream.close_code",
    "frames": "quickeye.stream.frames",
    "results": "quickeye.stream.results",
    "errors": "quickeye.stream.errors",
}
CLOSED_FOR_A_FAULT = 1011
GONE = 499  # the caller left
MAX_PATH = 500


class HttpTrace:
    """Keeps ``RequestTrace``. Owned by the event loop; one that is not sampled names itself and writes nothing."""

    def __init__(self, spans: Spans, span: Span, exchange: Exchange, clock: Clock, *, frames_wanted: bool) -> None:
        context = span.get_span_context()
        ids = exemplar_of(context)
        self.trace_id = ids["trace_id"]
        self.header = (b"traceresponse", f"00-{self.trace_id}-{ids['span_id']}-{context.trace_flags:02x}".encode())
        self.exemplar = ids if context.trace_flags.sampled else None
        self.route = ""
        self._method = exchange.method
        self._spans = spans
        self._span = span
        self._clock = clock
        self._frames_wanted = frames_wanted
        self._pictures: dict[Job, Span] = {}
        self._token = TRACE_ID.set(self.trace_id)
        if self.exemplar is not None:
            span.set_attributes(
                {
                    "http.request.method": exchange.method,
                    "url.path": exchange.path[:MAX_PATH],
                    "client.address": exchange.client,
                    "quickeye.request_id": exchange.request_id,
                }
            )

    def admit(self, jobs: Sequence[Job], pictures: int) -> None:
        """A lone picture's stages belong to the request itself; of several, each has a span of its own."""
        if self.exemplar is None:
            return
        if pictures == 1:
            for job in jobs:
                job.trace = PictureTrace(self._span.get_span_context(), self.exemplar)
            return
        within, now_s = inside(self._span), self._clock()
        for job in jobs:
            span = self._pictures[job] = self._spans.begin_always("picture", now_s, within)
            context = span.get_span_context()
            job.trace = PictureTrace(context, exemplar_of(context))

    def answered(self, outcomes: Sequence[PictureOutcome], jobs: Mapping[int, Job]) -> None:
        """See ``RequestTrace``."""
        if self.exemplar is None:
            return
        now_s = self._clock()
        if len(outcomes) == 1:
            self._describe(self._span, jobs.get(0), outcomes[0], now_s)
            return
        within = inside(self._span)
        for place, outcome in enumerate(outcomes):
            job = jobs.get(place)
            span = self._spans.begin_always("picture", now_s, within) if job is None else self._pictures[job]
            span.set_attribute("quickeye.picture", place)
            if outcome.refusal is not None:
                refused(span, outcome.refusal.code)
            ended_s = self._describe(span, job, outcome, now_s)
            span.end(self._spans.unix_ns(ended_s))

    def frames(self) -> StreamFrames | None:
        """See ``RequestTrace``."""
        if not self._frames_wanted:
            return None
        return StreamFrames(self._spans, None if self.exemplar is None else self._span.get_span_context(), self._clock)

    def end(self, status: int, record: Mapping[str, object]) -> None:
        """See ``RequestTrace``."""
        TRACE_ID.reset(self._token)
        span = self._span
        if self.exemplar is None:
            return
        if self.route:
            span.update_name(f"{self._method} {self.route}")
            span.set_attribute("http.route", self.route)
        span.set_attribute("http.response.status_code", status)
        for name, attribute in RECORDED.items():
            value = record.get(name)
            if isinstance(value, str | int):
                span.set_attribute(attribute, value)
        code = record.get("code")
        if isinstance(code, str):
            refused(span, code)
        elif status == GONE:
            refused(span, "abandoned")
        elif status >= 500 or record.get("close") == CLOSED_FOR_A_FAULT:
            fault(span, "internal")
        span.end(self._spans.unix_ns(self._clock()))

    def _describe(self, span: Span, job: Job | None, outcome: PictureOutcome, now_s: float) -> float:
        """Say what is known of a picture, its stages, and the batch that it was run in; returns when it was done."""
        if job is None or job.trace is None:
            return now_s
        if job.header is not None:
            width, height = job.header.upright_size
            size = {"quickeye.picture.width": width, "quickeye.picture.height": height}
            span.set_attributes({"quickeye.picture.format": job.header.format, **size})
        if job.trace.batch is not None:
            span.add_link(job.trace.batch)
        return write_stages(self._spans, inside(span), job, job.trace, outcome.answer, now_s)
