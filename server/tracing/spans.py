"""Making spans: live ones for what must be named while it goes on, finished ones for all else.

Times come from the server's monotonic clock. One offset, taken when the server began to trace, makes them times of
day: all spans of a process lie on one time line, whatever is done to the system's clock meanwhile.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanContext, SpanKind, Status, StatusCode, Tracer, set_span_in_context

from server.batcher import Clock
from server.errors import STATUSES

Attributes = Mapping[str, str | bool | int | float]

NO_PARENT = Context()


@dataclass(frozen=True, slots=True)
class Spans:
    """``sampling`` decides by the configured sampler; ``always`` is for what belongs to something sampled."""

    sampling: Tracer
    always: Tracer
    offset_ns: int

    def unix_ns(self, instant_s: float) -> int:
        """An instant of the monotonic clock, in nanoseconds since 1970."""
        return self.offset_ns + int(instant_s * 1e9)

    def begin(self, name: str, start_s: float, parent: Context = NO_PARENT, *, links: Sequence[Link] = ()) -> Span:
        """A span of something that came from outside; it records nothing unless it is sampled."""
        return self.sampling.start_span(name, parent, SpanKind.SERVER, None, links, self.unix_ns(start_s))

    def begin_always(
        self, name: str, start_s: float, parent: Context = NO_PARENT, *, links: Sequence[Link] = ()
    ) -> Span:
        """A span of something that is sampled, or that something sampled took part in."""
        return self.always.start_span(name, parent, links=links, start_time=self.unix_ns(start_s))

    def write(
        self, name: str, parent: Context, start_s: float, end_s: float, attributes: Attributes | None = None
    ) -> None:
        """A part of something sampled, which is over."""
        span = self.always.start_span(name, parent, attributes=attributes, start_time=self.unix_ns(start_s))
        span.end(self.unix_ns(max(start_s, end_s)))


def offset_now_ns(clock: Clock) -> int:
    """What lies between a clock of seconds and the time of day."""
    return time.time_ns() - int(clock() * 1e9)


def inside(span: Span) -> Context:
    """The context of a span's children."""
    return set_span_in_context(span, NO_PARENT)


def exemplar_of(context: SpanContext) -> dict[str, str]:
    """How a histogram points to a span."""
    return {"trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}"}


def refused(span: Span, code: str) -> None:
    """Note the code that something ended with; only a fault of the server's side is an error of its span."""
    known = STATUSES.get(code)
    if known is None:
        return
    span.set_attribute("quickeye.code", code)
    if known.http >= 500:
        fault(span, code)


def fault(span: Span, code: str) -> None:
    """Mark a span as failed."""
    span.set_attribute("error.type", code)
    span.set_status(Status(StatusCode.ERROR, code))
