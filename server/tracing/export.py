"""Sending spans: from a thread of its own, through a bounded queue, and never at a request's expense.

The queue, its thread and the wire are OpenTelemetry's; what is added is the count. A span that finds the queue full
is left out here, so that ``quickeye_trace_spans_total`` has every span once: ``exported``, ``dropped`` (the queue was
full) or ``failed`` (nobody took it, after the exporter's own retries).
"""

import asyncio
import logging
import os
import threading
from collections.abc import Callable, Sequence

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from prometheus_client import Counter

log = logging.getLogger("quickeye.tracing")

FLUSH_S = 3.0  # at the end of the server, for what is still to be sent
QUEUE = "OTEL_BSP_MAX_QUEUE_SIZE"


def otlp_exporter() -> SpanExporter:
    """OTLP over HTTP as protobuf; where to, how long and with which headers is in ``OTEL_EXPORTER_OTLP_…``."""
    return OTLPSpanExporter()


class Export(BatchSpanProcessor):
    """The bounded queue before an exporter.

    Raises:
        ValueError: a variable ``OTEL_BSP_…`` makes no sense.
    """

    def __init__(self, exporter: SpanExporter, counter: Counter) -> None:
        self._most = int(os.environ.get(QUEUE, "2048"))
        self._waiting = 0
        self._lock = threading.Lock()
        self._dropped = counter.labels("dropped")
        super().__init__(_Counted(exporter, counter, self._taken), max_queue_size=self._most)

    def on_end(self, span: ReadableSpan) -> None:
        """Take a span, or leave it out; never waits."""
        with self._lock:
            full = self._waiting >= self._most
            if not full:
                self._waiting += 1
        if full:
            self._dropped.inc()
        else:
            super().on_end(span)

    async def close(self, timeout_s: float = FLUSH_S) -> None:
        """Send what is left, within this time; what takes longer is given up."""
        loop, sent = asyncio.get_running_loop(), asyncio.Event()

        def shut_down() -> None:
            self.shutdown()  # type: ignore[no-untyped-call]
            if not loop.is_closed():
                loop.call_soon_threadsafe(sent.set)

        # A daemon: neither the event loop nor the interpreter waits for a collector that does not answer.
        threading.Thread(target=shut_down, name="tracing-flush", daemon=True).start()
        try:
            async with asyncio.timeout(timeout_s):
                await sent.wait()
        except TimeoutError:
            log.warning("the last spans could not be sent within %g s", timeout_s)

    def _taken(self, spans: int) -> None:
        with self._lock:
            self._waiting -= spans


class _Counted(SpanExporter):
    """Another exporter, and how it went."""

    def __init__(self, exporter: SpanExporter, counter: Counter, taken: Callable[[int], None]) -> None:
        self._exporter = exporter
        self._taken = taken
        self._exported, self._failed = counter.labels("exported"), counter.labels("failed")

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send one batch; blocks the processor's thread alone."""
        self._taken(len(spans))
        result = SpanExportResult.FAILURE
        try:
            result = self._exporter.export(spans)
        finally:
            (self._exported if result is SpanExportResult.SUCCESS else self._failed).inc(len(spans))
        return result

    def shutdown(self) -> None:
        """Send nothing more."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Send what the exporter itself holds back."""
        return self._exporter.force_flush(timeout_millis)
