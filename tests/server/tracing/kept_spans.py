"""The application with tracing on, its spans kept in memory, and a WebSocket that speaks to it without a network."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import orjson
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanContext
from prometheus_client import CollectorRegistry, Counter

from server.app import App, create_app
from server.config import Config
from server.exchange import Message
from server.metrics import Metrics
from server.tracing.tracer import Tracing
from tests.server.gated_backend import GatedBackend
from tests.server.in_app import client_of

CALLER_TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER_SPAN = "00f067aa0ba902b7"
SAMPLED = {"traceparent": f"00-{CALLER_TRACE}-{CALLER_SPAN}-01"}
NOT_SAMPLED = {"traceparent": f"00-{CALLER_TRACE}-{CALLER_SPAN}-00"}


def span_counter() -> Counter:
    """As ``Metrics`` has it."""
    return Counter("quickeye_trace_spans", "Spans.", ("outcome",), registry=CollectorRegistry())


class Kept:
    """What was exported; one app's, or that of ``tracing`` alone."""

    def __init__(self, tracing: Tracing, exporter: InMemorySpanExporter) -> None:
        self.tracing = tracing
        self._exporter = exporter

    def spans(self, name: str | None = None) -> list[ReadableSpan]:
        """All that ended so far, or those of one name."""
        self.tracing.export.force_flush()
        return [span for span in self._exporter.get_finished_spans() if name in (None, span.name)]

    def one(self, name: str) -> ReadableSpan:
        """The only span of this name."""
        (span,) = self.spans(name)
        return span

    def children(self, of: ReadableSpan) -> list[ReadableSpan]:
        """The spans right below another, by when they began."""
        found = [span for span in self.spans() if span.parent is not None and span.parent == of.context]
        return sorted(found, key=lambda span: span.start_time or 0)


def context_of(span: ReadableSpan) -> SpanContext:
    """Who a span is."""
    assert span.context is not None
    return span.context


def links_of(span: ReadableSpan) -> set[tuple[int, int]]:
    """Whom a span links to: (trace, span)."""
    return {(link.context.trace_id, link.context.span_id) for link in span.links}


def identity(span: ReadableSpan) -> tuple[int, int]:
    """(trace, span)."""
    return context_of(span).trace_id, context_of(span).span_id


def attributes(span: ReadableSpan) -> Mapping[str, Any]:
    """What a span says."""
    return span.attributes or {}


@contextlib.asynccontextmanager
async def traced_app(store: Path, **settings: Any) -> AsyncIterator[tuple[App, httpx.AsyncClient, Kept]]:  # noqa: ANN401
    """The app on a backend without delays, every request sampled unless ``trace_ratio`` says less."""
    exporter = InMemorySpanExporter()
    chosen = {"backend": "fake", "instances": 1, "max_batch_size": 2, "access_log": False, "tracing": True, **settings}
    config = Config(store=str(store), **chosen)

    def tracing_to_memory(config: Config, metrics: Metrics) -> Tracing:
        return Tracing(config.trace_ratio, metrics.trace_spans, exporter)

    app = create_app(config, tracing_to_memory)
    await app.service.start()
    try:
        await app.service.ready.wait()
        async with client_of(app) as client:
            assert isinstance(app.service.tracing, Tracing)
            yield app, client, Kept(app.service.tracing, exporter)
    finally:
        await app.service.close()


def gated(app: App) -> GatedBackend:
    """Put a backend in the default model's only instance that the test opens and closes."""
    (instance,) = app.service.catalogue.find().instances
    backend = instance.backend = GatedBackend()
    return backend


class AppSocket:
    """One WebSocket of ``/v1/stream``, spoken by the test's hand."""

    def __init__(self, app: App, query: str = "", headers: Mapping[str, str] | None = None) -> None:
        self._to_app: asyncio.Queue[Message] = asyncio.Queue()
        self._from_app: asyncio.Queue[Message] = asyncio.Queue()
        lines = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
        scope = {"type": "websocket", "path": "/v1/stream", "query_string": query.encode(), "headers": lines}
        self._to_app.put_nowait({"type": "websocket.connect"})
        self._serving = asyncio.ensure_future(app(scope, self._to_app.get, self._from_app.put))

    async def hears(self) -> Message:
        """The next ASGI message."""
        return await asyncio.wait_for(self._from_app.get(), 60.0)

    async def event(self) -> dict[str, Any]:
        """The next event."""
        event: dict[str, Any] = orjson.loads((await self.hears())["text"])
        return event

    def sends(self, frame: bytes) -> None:
        """A frame."""
        self._to_app.put_nowait({"type": "websocket.receive", "bytes": frame})

    async def leaves(self) -> None:
        """The client closes."""
        self._to_app.put_nowait({"type": "websocket.disconnect", "code": 1000})
        await asyncio.wait_for(self._serving, 60.0)
