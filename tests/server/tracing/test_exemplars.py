"""Exemplars: a histogram's bucket names a sampled trace that fell into it, in OpenMetrics alone."""

import asyncio
from pathlib import Path

import httpx
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse
from prometheus_client.samples import Exemplar

from tests.server.posting import GREEN, RED
from tests.server.tracing.kept_spans import NOT_SAMPLED, AppSocket, identity, traced_app

OPENMETRICS = {"accept": "application/openmetrics-text; version=1.0.0"}
OF_A_POST = {
    "quickeye_request_duration_seconds",
    "quickeye_stage_duration_seconds",
    "quickeye_batch_size",
    "quickeye_top_score",
}


async def exemplars(client: httpx.AsyncClient) -> dict[str, list[tuple[Exemplar, float]]]:
    """By metric: each exemplar, with the upper bound of its bucket."""
    text = (await client.get("/metrics", headers=OPENMETRICS)).text
    found: dict[str, list[tuple[Exemplar, float]]] = {}
    for family in parse_openmetrics(text):
        for sample in family.samples:
            if sample.exemplar is not None:
                found.setdefault(family.name, []).append((sample.exemplar, float(sample.labels["le"])))
    return found


def test_each_histogram_of_a_post_points_to_its_trace(colour_store: Path) -> None:
    async def run() -> None:
        async with traced_app(colour_store) as (_, client, kept):
            await client.post("/v1/predict", content=RED)
            trace, span = identity(kept.one("POST /v1/predict"))
            found = await exemplars(client)
            assert set(found) == OF_A_POST
            assert len(found["quickeye_stage_duration_seconds"]) == 5
            for each in found.values():
                for exemplar, bound in each:
                    assert exemplar.labels == {"trace_id": f"{trace:032x}", "span_id": f"{span:016x}"}
                    assert exemplar.value <= bound

    asyncio.run(run())


def test_a_frames_age_points_to_its_trace(colour_store: Path) -> None:
    async def run() -> None:
        async with traced_app(colour_store, max_frame_age_ms=60_000) as (app, client, kept):
            socket = AppSocket(app)
            assert (await socket.hears())["type"] == "websocket.accept"
            assert (await socket.event())["type"] == "ready"
            socket.sends(RED)
            assert (await socket.event())["type"] == "result"
            await socket.leaves()
            trace, _ = identity(kept.one("frame"))
            ((exemplar, _),) = (await exemplars(client))["quickeye_stream_frame_age_seconds"]
            assert exemplar.labels["trace_id"] == f"{trace:032x}"

    asyncio.run(run())


def test_the_text_format_has_no_place_for_them(colour_store: Path) -> None:
    async def run() -> None:
        async with traced_app(colour_store) as (_, client, _kept):
            await client.post("/v1/predict", content=RED)
            text = (await client.get("/metrics", headers={"accept": "text/plain"})).text
            assert " # {" not in text and "trace_id" not in text
            families = {family.name for family in parse(text)}
            assert families >= OF_A_POST

    asyncio.run(run())


def test_only_sampled_traces_are_pointed_to(colour_store: Path) -> None:
    async def run() -> None:
        async with traced_app(colour_store) as (_, client, kept):
            await client.post("/v1/predict", content=GREEN)
            before = await exemplars(client)
            for _ in range(5):
                await client.post("/v1/predict", content=RED, headers=NOT_SAMPLED)
            after = await exemplars(client)
            trace, _ = identity(kept.one("POST /v1/predict"))
            assert after == before
            assert {one.labels["trace_id"] for each in after.values() for one, _ in each} == {f"{trace:032x}"}

    asyncio.run(run())
