"""A real server and a small collector: spans arrive as protobuf, the last of them when the server ends."""

from pathlib import Path

import pytest

from tests.server.posting import RED
from tests.server.running import free_port, serving
from tests.server.tracing.kept_spans import CALLER_SPAN, CALLER_TRACE, SAMPLED
from tests.server.tracing.otlp_receiver import receiving


def flags_of(store: Path) -> list[str]:
    return ["--store", str(store), "--backend", "fake", "--instances", "1", "--log-format", "json", "--tracing"]


def test_spans_arrive_over_otlp_and_the_last_ones_as_the_server_ends(
    colour_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with receiving() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=shop")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "600000")  # nothing is sent before the end
        with serving(tmp_path, *flags_of(colour_store)) as server:
            with server.client() as client:
                reply = client.post("/v1/predict", content=RED, headers=SAMPLED)
                line = server.access_line(reply.json()["request_id"])
                assert reply.headers["traceresponse"].split("-")[1] == line["trace_id"] == CALLER_TRACE
            assert receiver.requests == []
            server.terminate()
            assert server.ended() == 0
        assert set(receiver.paths) == {"/v1/traces"}
        assert receiver.headers[0]["content-type"] == "application/x-protobuf"
        assert receiver.headers[0]["x-tenant"] == "shop"
        (resource_spans,) = [spans for request in receiver.requests for spans in request.resource_spans]
        resource = {one.key: one.value for one in resource_spans.resource.attributes}
        assert resource["service.name"].string_value == "quickeye"
        assert resource["process.pid"].int_value == server.process.pid
        spans = {span.name: span for scope in resource_spans.scope_spans for span in scope.spans}
        assert set(spans) == {
            *("POST /v1/predict", "queue", "decode", "preprocess", "infer", "postprocess", "batch"),
        }
        request, batch = spans["POST /v1/predict"], spans["batch"]
        assert request.trace_id.hex() == CALLER_TRACE and request.parent_span_id.hex() == CALLER_SPAN
        assert {spans[stage].parent_span_id for stage in ("queue", "infer")} == {request.span_id}
        assert [(link.trace_id, link.span_id) for link in batch.links] == [(request.trace_id, request.span_id)]
        assert [(link.trace_id, link.span_id) for link in request.links] == [(batch.trace_id, batch.span_id)]
        assert '"trace_id":"' + CALLER_TRACE in server.lines()


def test_where_nobody_collects_requests_are_answered_and_the_server_ends_well(
    colour_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
    with serving(tmp_path, *flags_of(colour_store)) as server:
        with server.client() as client:
            assert [client.post("/v1/predict", content=RED).status_code for _ in range(20)] == [200] * 20
        server.terminate()
        assert server.ended() == 0
        assert "Traceback" not in server.lines()
