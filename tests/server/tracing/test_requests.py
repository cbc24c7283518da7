"""The traces of posted pictures: which spans there are, whose they are, and what they say."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode

from server.app import App
from tests.server.in_app import running_app
from tests.server.posting import GREEN, RED
from tests.server.tracing.kept_spans import Kept, attributes, gated, identity, links_of, traced_app

STAGES = ["queue", "decode", "preprocess", "infer", "postprocess"]
PREDICT = "POST /v1/predict"

Scenario = Callable[[App, httpx.AsyncClient, Kept], Awaitable[None]]


def play(store: Path, scenario: Scenario, **settings: object) -> None:
    """Run a scenario on a traced application."""

    async def run() -> None:
        async with traced_app(store, **settings) as (app, client, kept):
            await scenario(app, client, kept)

    asyncio.run(run())


async def waiting(app: App, images: int) -> None:
    """Until so many stand in the queue."""
    while app.service.catalogue.find().batcher.counts()[0] < images:  # noqa: ASYNC110 (the queue tells nobody)
        await asyncio.sleep(0)


def lies_within(inner: ReadableSpan, outer: ReadableSpan) -> bool:
    assert inner.start_time is not None and outer.start_time is not None
    assert inner.end_time is not None and outer.end_time is not None
    return outer.start_time <= inner.start_time <= inner.end_time <= outer.end_time


def test_a_request_is_one_trace_with_a_span_for_each_stage(colour_store: Path) -> None:
    async def scenario(app: App, client: httpx.AsyncClient, kept: Kept) -> None:
        reply = await client.post("/v1/predict", content=RED)
        request = kept.one(PREDICT)
        stages = kept.children(request)
        assert [stage.name for stage in stages] == STAGES
        assert all(lies_within(stage, request) for stage in stages)
        assert (request.kind, request.parent, request.status.status_code) == (SpanKind.SERVER, None, StatusCode.UNSET)
        told = attributes(request)
        assert told["http.route"] == told["url.path"] == "/v1/predict"
        assert (told["http.request.method"], told["http.response.status_code"]) == ("POST", 200)
        assert (told["quickeye.model.name"], told["quickeye.model.version"]) == ("mean_colour", 2)
        assert told["quickeye.request_id"] == reply.json()["request_id"]
        assert (told["quickeye.picture.width"], told["quickeye.picture.height"]) == (40, 30)

    play(colour_store, scenario)


def test_the_spans_of_a_pictures_own_stages_last_as_long_as_its_reply_says(colour_store: Path) -> None:
    async def scenario(app: App, client: httpx.AsyncClient, kept: Kept) -> None:
        reply = await client.post("/v1/predict", content=RED)
        (result,) = reply.json()["results"]
        for stage in kept.children(kept.one(PREDICT))[1:]:  # the reply counts the neighbours' preparing as waiting
            assert stage.start_time is not None and stage.end_time is not None
            assert (stage.end_time - stage.start_time) / 1e6 == pytest.approx(result["timing_ms"][stage.name], abs=2e-3)

    play(colour_store, scenario)


def test_several_pictures_of_a_request_have_a_span_each(colour_store: Path) -> None:
    async def scenario(app: App, client: httpx.AsyncClient, kept: Kept) -> None:
        files = [("file", ("a", RED)), ("file", ("b", b"no picture")), ("file", ("c", GREEN))]
        assert (await client.post("/v1/predict", files=files)).status_code == 200
        request = kept.one(PREDICT)
        pictures = {attributes(one)["quickeye.picture"]: one for one in kept.children(request)}
        assert [one.name for one in pictures.values()] == ["picture"] * 3
        assert [stage.name for stage in kept.children(pictures[0])] == STAGES
        assert [stage.name for stage in kept.children(pictures[2])] == STAGES
        assert kept.children(pictures[1]) == []
        assert attributes(pictures[1])["quickeye.code"] == "undecodable_image"
        assert all(lies_within(one, request) for one in pictures.values())

    play(colour_store, scenario)


def test_a_batch_and_the_requests_in_it_link_to_each_other(colour_store: Path) -> None:
    async def scenario(app: App, client: httpx.AsyncClient, kept: Kept) -> None:
        backend = gated(app)
        backend.gate.clear()
        first = asyncio.ensure_future(client.post("/v1/predict", content=RED))
        await asyncio.to_thread(backend.entered.acquire)
        others = [asyncio.ensure_future(client.post("/v1/predict", content=GREEN)) for _ in range(2)]
        await waiting(app, 2)
        backend.gate.set()
        await asyncio.gather(first, *others)
        lone, pair = sorted(kept.spans("batch"), key=lambda span: span.start_time or 0)
        assert attributes(lone)["quickeye.batch.size"] == 1
        assert attributes(pair)["quickeye.batch.size"] == 2
        requests = {identity(span): span for span in kept.spans(PREDICT)}
        assert len(links_of(pair)) == 2 and len(links_of(lone)) == 1
        assert links_of(lone) | links_of(pair) == set(requests)
        for batch in (lone, pair):
            assert batch.parent is None
            assert [links_of(requests[linked]) for linked in links_of(batch)] == [{identity(batch)}] * len(batch.links)

    play(colour_store, scenario)


def test_calls_of_the_framework_are_traced_by_their_route_and_scrapes_are_not(colour_store: Path) -> None:
    async def scenario(app: App, client: httpx.AsyncClient, kept: Kept) -> None:
        for path in ("/healthz", "/readyz", "/metrics"):
            assert "traceresponse" not in (await client.get(path)).headers
        reply = await client.get("/v1/models/mean_colour")
        assert kept.one("GET /v1/models/{model}").context is not None
        assert reply.headers["traceresponse"].split("-")[1] == f"{identity(kept.one('GET /v1/models/{model}'))[0]:032x}"
        assert len(kept.spans()) == 1

    play(colour_store, scenario)


def test_versions_and_names_are_left_out_of_a_spans_name(colour_store: Path) -> None:
    async def scenario(app: App, client: httpx.AsyncClient, kept: Kept) -> None:
        await client.post("/v1/models/mean_colour/versions/2/predict", content=RED)
        await client.post("/v1/models/nobody/predict", content=RED)
        versioned = kept.one("POST /v1/models/{model}/versions/{version}/predict")
        assert attributes(versioned)["quickeye.model.version"] == 2
        unknown = kept.one("POST /v1/models/{model}/predict")
        assert attributes(unknown)["quickeye.code"] == "unknown_model"
        assert attributes(unknown)["http.response.status_code"] == 404

    play(colour_store, scenario)


def test_a_refusal_is_no_error_of_its_span(colour_store: Path) -> None:
    async def scenario(app: App, client: httpx.AsyncClient, kept: Kept) -> None:
        assert (await client.post("/v1/predict", content=b"no picture")).status_code == 400
        request = kept.one(PREDICT)
        assert attributes(request)["quickeye.code"] == "undecodable_image"
        assert request.status.status_code is StatusCode.UNSET
        assert kept.children(request) == []

    play(colour_store, scenario)


def test_whoever_found_the_queue_full_is_refused_in_its_span(colour_store: Path) -> None:
    async def scenario(app: App, client: httpx.AsyncClient, kept: Kept) -> None:
        backend = gated(app)
        backend.gate.clear()
        first = asyncio.ensure_future(client.post("/v1/predict", content=RED))
        await asyncio.to_thread(backend.entered.acquire)
        second = asyncio.ensure_future(client.post("/v1/predict", content=RED))
        await waiting(app, 1)
        assert (await client.post("/v1/predict", content=RED)).status_code == 429
        refused = kept.one(PREDICT)  # the only one that is over
        assert attributes(refused)["quickeye.code"] == "overloaded"
        assert refused.status.status_code is StatusCode.UNSET
        backend.gate.set()
        await asyncio.gather(first, second)

    play(colour_store, scenario, max_queue_images=1)


def test_a_deadline_that_passed_in_the_queue_is_an_error_and_shows_the_wait(colour_store: Path) -> None:
    async def scenario(app: App, client: httpx.AsyncClient, kept: Kept) -> None:
        backend = gated(app)
        backend.gate.clear()
        first = asyncio.ensure_future(client.post("/v1/predict", content=RED))
        await asyncio.to_thread(backend.entered.acquire)
        assert (await client.post("/v1/predict?timeout_ms=200", content=RED)).status_code == 504
        late = kept.one(PREDICT)
        assert (late.status.status_code, late.status.description) == (StatusCode.ERROR, "deadline_exceeded")
        (waited,) = kept.children(late)
        assert waited.name == "queue" and waited.start_time is not None and waited.end_time is not None
        assert waited.end_time - waited.start_time >= 100e6  # it did wait; how exactly is the timer's
        assert late.links == ()
        backend.gate.set()
        await first

    play(colour_store, scenario)


def test_a_backend_that_fails_marks_the_request_and_its_batch(colour_store: Path) -> None:
    async def scenario(app: App, client: httpx.AsyncClient, kept: Kept) -> None:
        def fail(outputs: object) -> tuple[()]:
            raise ValueError("a fault")

        gated(app).fault = fail
        assert (await client.post("/v1/predict", content=RED)).status_code == 500
        request, batch = kept.one(PREDICT), kept.one("batch")
        assert attributes(request)["error.type"] == "internal"
        assert {request.status.status_code, batch.status.status_code} == {StatusCode.ERROR}
        assert links_of(batch) == {identity(request)}
        assert "a fault" not in str(request.to_json())

    play(colour_store, scenario)


def test_without_the_setting_nothing_is_traced(colour_store: Path) -> None:
    async def run() -> None:
        async with running_app(colour_store) as (app, client):
            reply = await client.post("/v1/predict", content=RED)
            assert app.service.tracing is None
            assert "traceresponse" not in reply.headers
            assert not app.service.catalogue.find().batcher.keeps_timelines

    asyncio.run(run())
