"""A server's tracing: what is sampled, what the process calls itself, and where traces begin."""

import logging
import os
import socket
import time
import uuid
from collections.abc import Sequence
from importlib.metadata import version

from opentelemetry.context import Context
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased, Sampler, TraceIdRatioBased
from opentelemetry.trace import Link, get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from prometheus_client import Counter

from model_zoo.spec import ModelSpec
from server.batcher import Clock
from server.errors import InternalError
from server.exchange import Exchange
from server.job import Answer, Job
from server.tracing.export import Export
from server.tracing.request_trace import HttpTrace
from server.tracing.spans import NO_PARENT, Spans, fault, offset_now_ns

MAX_HEADER = 512  # characters that are read of a caller's trace context

_propagator = TraceContextTextMapPropagator()


class Tracing:
    """Begins the traces of one server. ``ratio`` is the share of requests that is sampled where no caller decided.

    Raises:
        ValueError: one of OpenTelemetry's variables makes no sense.
    """

    def __init__(self, ratio: float, counter: Counter, exporter: SpanExporter, clock: Clock = time.monotonic) -> None:
        own = None if os.environ.get("OTEL_TRACES_SAMPLER") else ParentBased(TraceIdRatioBased(ratio))
        resource = described()
        provider = TracerProvider(own, resource, shutdown_on_exit=False)
        always = TracerProvider(ALWAYS_ON, resource, shutdown_on_exit=False)
        self.export = Export(exporter, counter)
        self.sampler: Sampler = provider.sampler
        for each in (provider, always):
            each.add_span_processor(self.export)
        names = "quickeye", version("quickeye")
        self._spans = Spans(provider.get_tracer(*names), always.get_tracer(*names), offset_now_ns(clock))
        self._clock = clock
        # What a caller sends must not fill our log: the library warns of every odd header.
        logging.getLogger("opentelemetry.trace").setLevel(logging.ERROR)

    def request(self, exchange: Exchange) -> HttpTrace:
        """Begin a request's trace, or go on with its caller's."""
        context = parent_of(exchange.headers)
        caller = get_current_span(context).get_span_context()
        span = self._spans.begin(exchange.method, exchange.started_s, context)
        wanted = not caller.is_valid or bool(caller.trace_flags.sampled)
        return HttpTrace(self._spans, span, exchange, self._clock, frames_wanted=wanted)

    def batch(self, model: ModelSpec, batch: Sequence[Job], traced: Sequence[Job]) -> None:
        """Write a batch's span, and tell the sampled pictures that were run in it."""
        timeline = batch[0].batch
        run = [job.trace for job in traced if job.trace is not None and _was_run(job)]
        if timeline is None or timeline.ended_s is None or not timeline.ran or not run:
            return
        span = self._spans.begin_always("batch", timeline.formed_s, links=[Link(trace.span) for trace in run])
        span.set_attributes(
            {
                "quickeye.model.name": model.name,
                "quickeye.model.version": model.version,
                "quickeye.batch.size": timeline.ran,
                "quickeye.batch.taken": timeline.size,
                "quickeye.batch.left_waiting": timeline.left,
                "quickeye.batch.closed_by": timeline.closed_by,
                "quickeye.instance": -1 if timeline.instance is None else timeline.instance,
            }
        )
        if timeline.ran_s is None:
            fault(span, "internal")
        for trace in run:
            trace.batch = span.get_span_context()
        span.end(self._spans.unix_ns(timeline.ended_s))

    async def close(self) -> None:
        """Send what is left, within a bound."""
        await self.export.close()


def described() -> Resource:
    """What this process calls itself; ``OTEL_SERVICE_NAME`` and ``OTEL_RESOURCE_ATTRIBUTES`` have the last word."""
    own: dict[str, str | int] = {
        "service.name": "quickeye",
        "service.version": version("quickeye"),
        "service.instance.id": str(uuid.uuid4()),
        "host.name": socket.gethostname(),
        "process.pid": os.getpid(),
    }
    return Resource.create(own).merge(OTELResourceDetector().detect())


def parent_of(headers: dict[bytes, bytes]) -> Context:
    """The caller's span, from ``traceparent`` and ``tracestate``; nothing when they are not there or not valid."""
    given = headers.get(b"traceparent")
    if given is None or len(given) > MAX_HEADER:
        return NO_PARENT
    carrier = {"traceparent": given.decode("latin-1")}
    state = headers.get(b"tracestate")
    if state is not None and len(state) <= MAX_HEADER:
        carrier["tracestate"] = state.decode("latin-1")
    return _propagator.extract(carrier, NO_PARENT)


def _was_run(job: Job) -> bool:
    """Whether a picture was in the engine, or would have been had the engine not failed."""
    return not job.result.reused if isinstance(job.result, Answer) else isinstance(job.result, InternalError)
