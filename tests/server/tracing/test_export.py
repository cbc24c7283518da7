"""The queue before the exporter: bounded, counted, never waited for, and sent within a bound at the end."""

import asyncio
import threading
import time
from collections.abc import Iterator, Sequence

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import Tracer
from prometheus_client import Counter

from server.tracing.export import Export
from tests.server.tracing.kept_spans import span_counter

WAIT_S = 30.0  # never reached


class Collector(SpanExporter):
    """Takes spans once ``gate`` is open; ``result`` is what it says of them."""

    def __init__(self, result: SpanExportResult | Exception = SpanExportResult.SUCCESS) -> None:
        self.gate = threading.Event()
        self.entered = threading.Event()
        self.names: list[str] = []
        self._result = result

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.entered.set()
        self.gate.wait(WAIT_S)
        if isinstance(self._result, Exception):
            raise self._result
        self.names += [span.name for span in spans]
        return self._result

    def shutdown(self) -> None:
        """Nothing to close."""


@pytest.fixture
def counter() -> Counter:
    return span_counter()


@pytest.fixture
def small_queue(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Four spans wait, two go together."""
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "4")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "2")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "60000")
    yield


def tracer_into(export: Export) -> Tracer:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(export)
    return provider.get_tracer("tests")


def counted(counter: Counter) -> dict[str, float]:
    (family,) = counter.collect()
    return {one.labels["outcome"]: one.value for one in family.samples if one.name.endswith("_total")}


@pytest.mark.usefixtures("small_queue")
def test_a_full_queue_drops_and_counts_and_nobody_waits(counter: Counter) -> None:
    collector = Collector()
    export = Export(collector, counter)
    tracer = tracer_into(export)
    for number in range(2):
        tracer.start_span(f"taken {number}").end()
    assert collector.entered.wait(WAIT_S)  # these two are on their way, and the collector does not answer
    for number in range(10):
        tracer.start_span(f"later {number}").end()
    assert counted(counter) == {"dropped": 6.0, "exported": 0.0, "failed": 0.0}
    collector.gate.set()
    export.force_flush()
    asyncio.run(export.close())
    assert counted(counter) == {"dropped": 6.0, "exported": 6.0, "failed": 0.0}
    assert sorted(collector.names) == sorted([f"taken {n}" for n in range(2)] + [f"later {n}" for n in range(4)])


@pytest.mark.parametrize("result", [SpanExportResult.FAILURE, ConnectionError("nobody listens")])
def test_what_nobody_takes_is_counted_and_makes_room(
    counter: Counter, result: SpanExportResult | Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "60000")
    collector = Collector(result)
    collector.gate.set()
    export = Export(collector, counter)
    tracer = tracer_into(export)
    for _ in range(3):
        tracer.start_span("lost").end()
        export.force_flush()
    assert counted(counter) == {"dropped": 0.0, "exported": 0.0, "failed": 3.0}
    asyncio.run(export.close())


def test_the_end_sends_what_is_left(counter: Counter) -> None:
    collector = Collector()
    collector.gate.set()
    export = Export(collector, counter)
    tracer_into(export).start_span("last").end()
    asyncio.run(export.close())
    assert collector.names == ["last"]
    assert counted(counter)["exported"] == 1.0


def test_a_collector_that_does_not_answer_does_not_hold_up_the_end(
    counter: Counter, caplog: pytest.LogCaptureFixture
) -> None:
    collector = Collector()
    export = Export(collector, counter)
    tracer_into(export).start_span("last").end()
    began_s = time.monotonic()
    asyncio.run(export.close(0.05))
    assert time.monotonic() - began_s < WAIT_S  # it did not wait for the gate
    assert "could not be sent" in caplog.text
    collector.gate.set()


@pytest.mark.parametrize("size", ["0", "-1", "many"])
def test_a_queue_that_makes_no_sense_is_refused(counter: Counter, size: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", size)
    with pytest.raises(ValueError):
        Export(Collector(), counter)
