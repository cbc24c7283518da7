"""Too much at once, keys and rates, and who goes first: refusals are immediate, and nothing admitted is lost."""

import asyncio
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from model_zoo.bundle import Bundle
from model_zoo.check import CheckVerdict
from server.app import App
from server.config import Config
from server.served_model import LoadedModel
from tests.server.gated_backend import GatedBackend
from tests.server.in_app import running_app
from tests.server.posting import RED
from tests.server.running import Running, serving

DELAY_MS = 100


@pytest.fixture(scope="module")
def server(colour_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One instance that takes its time over each picture, and a queue of four."""
    slow = ["--backend", "fake", "--backend-option", f"fake.delay_ms={DELAY_MS}"]
    flags = [*slow, "--instances", "1", "--max-batch-size", "1"]
    bounds = ["--max-queue-images", "4", "--max-queue-wait-ms", "60000"]
    folder = tmp_path_factory.mktemp("server")
    with serving(folder, "--store", str(colour_store), *flags, *bounds, "--log-format", "json") as running:
        yield running


def test_what_is_too_much_is_429_at_once_and_the_rest_is_answered(server: Running) -> None:
    start = threading.Barrier(24)

    def call(_: int) -> httpx.Response:
        with server.client() as client:
            start.wait()
            return client.post("/v1/predict?timeout_ms=60000", content=RED)

    with ThreadPoolExecutor(24) as pool:
        replies = list(pool.map(call, range(24)))
    counts = Counter(reply.status_code for reply in replies)
    assert set(counts) == {200, 429}
    assert counts[200] >= 5, "one is run and four wait"
    for reply in replies:
        if reply.status_code == 429:
            assert reply.json()["error"]["code"] == "overloaded"
            assert int(reply.headers["retry-after"]) >= 1
            assert reply.elapsed.total_seconds() < 20
        else:
            assert reply.json()["results"][0]["error"] is None
    assert server.metric("quickeye_images_total", outcome="ok") == counts[200]
    assert server.metric("quickeye_images_total", outcome="overloaded") == counts[429]
    assert server.metric("quickeye_rejected_total", reason="overloaded") == counts[429]
    assert server.metric("quickeye_queue_images") == server.metric("quickeye_inflight_images") == 0


def test_more_pictures_than_the_queue_holds_are_refused_whole(server: Running) -> None:
    with server.client() as client:
        reply = client.post("/v1/predict", files=[("file", ("a", RED))] * 5)
        assert (reply.status_code, reply.json()["error"]["code"]) == (429, "overloaded")
        assert client.post("/v1/predict", files=[("file", ("a", RED))] * 3).status_code == 200


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> GatedBackend:
    """What every bundle is loaded onto in this test."""
    gated = GatedBackend()

    def load(config: Config, bundle: Bundle) -> LoadedModel:
        return LoadedModel(bundle, (gated,), CheckVerdict(True, 0.0, "passed"), (), 1, 1)

    monkeypatch.setattr("server.catalogue.load", load)
    return gated


async def admitted(app: App, images: int) -> None:
    """Wait until so many pictures wait or are run."""
    for _ in range(5000):
        if sum(app.service.catalogue.find().batcher.counts()) >= images:
            return
        await asyncio.sleep(0.001)
    raise AssertionError("the pictures were never admitted")


def test_more_important_pictures_go_first(colour_store: Path, backend: GatedBackend) -> None:
    order: list[int] = []

    async def scenario() -> None:
        async with running_app(colour_store, max_queue_wait_ms=60_000) as (app, client):

            async def call(priority: int) -> None:
                assert (await client.post(f"/v1/predict?priority={priority}", content=RED)).status_code == 200
                order.append(priority)

            backend.gate.clear()
            calls = []
            for images, priority in enumerate((5, 9, 5, 0), 1):
                calls.append(asyncio.create_task(call(priority)))
                await admitted(app, images)
                if images == 1:  # the first must be under way before a more important one comes
                    assert await asyncio.to_thread(backend.entered.acquire, timeout=20)
            backend.gate.set()
            await asyncio.gather(*calls)

    asyncio.run(scenario())
    assert order == [5, 0, 5, 9]


def test_a_deadline_that_the_queue_cannot_meet_is_429_at_the_door(colour_store: Path, backend: GatedBackend) -> None:
    async def scenario() -> None:
        async with running_app(colour_store, max_queue_wait_ms=60_000) as (app, client):
            for _ in range(200):
                app.service.catalogue.find().batcher.learn(1, 0.1)
            backend.gate.clear()
            waiting = [asyncio.create_task(client.post("/v1/predict", content=RED)) for _ in range(3)]
            await admitted(app, 3)
            hurried = await client.post("/v1/predict?timeout_ms=50", content=RED)
            assert (hurried.status_code, hurried.json()["error"]["code"]) == (429, "overloaded")
            assert "50 ms are allowed" in hurried.json()["error"]["message"]
            backend.gate.set()
            assert [(await one).status_code for one in waiting] == [200] * 3

    asyncio.run(scenario())


def test_a_deadline_that_passes_is_504_and_the_next_is_fine(colour_store: Path, backend: GatedBackend) -> None:
    async def scenario() -> None:
        async with running_app(colour_store) as (_, client):
            backend.gate.clear()
            late = await client.post("/v1/predict?timeout_ms=20", content=RED)
            assert (late.status_code, late.json()["error"]["code"]) == (504, "deadline_exceeded")
            backend.gate.set()
            assert (await client.post("/v1/predict", content=RED)).status_code == 200

    asyncio.run(scenario())


def test_keys_end_to_end(colour_store: Path) -> None:
    async def scenario() -> None:
        async with running_app(colour_store, api_keys=("red", "blue"), admin_key="boss") as (_, client):

            async def told(method: str, path: str, **headers: str) -> tuple[int, str]:
                named = {name.replace("_", "-"): value for name, value in headers.items()}
                reply = await client.request(method, path, content=RED, headers=named)
                return reply.status_code, reply.json().get("error", {}).get("code", "")

            predict, load = "/v1/predict", "/v1/models/mean_colour/load"
            assert await told("POST", predict) == (401, "unauthorized")
            assert await told("POST", predict, x_api_key="green") == (403, "forbidden")
            assert await told("POST", predict, x_api_key="red") == (200, "")
            assert await told("POST", predict, authorization="Bearer blue") == (200, "")
            assert await told("POST", predict, authorization="Bearer boss") == (200, "")
            for method, path in (("POST", load), ("POST", load.replace("load", "unload")), ("DELETE", load[:-5])):
                assert await told(method, path) == (401, "unauthorized")
                assert await told(method, path, x_api_key="red") == (403, "forbidden")
            assert await told("POST", load, x_api_key="boss") == (200, "")
            assert await told("GET", "/v1/models") == (200, "")

    asyncio.run(scenario())


def test_a_rate_is_kept_per_key(colour_store: Path) -> None:
    async def scenario() -> None:
        async with running_app(colour_store, api_keys=("red", "blue"), rate_limit_per_s=0.001) as (_, client):
            replies = [await client.post("/v1/predict", content=RED, headers={"x-api-key": "red"}) for _ in range(3)]
            assert [reply.status_code for reply in replies] == [200, 429, 429]
            assert replies[1].json()["error"]["code"] == "rate_limited"
            assert int(replies[1].headers["retry-after"]) > 900
            assert (await client.post("/v1/predict", content=RED, headers={"x-api-key": "blue"})).status_code == 200

    asyncio.run(scenario())


def test_admin_is_closed_on_a_public_address_without_a_key(colour_store: Path) -> None:
    async def scenario() -> None:
        async with running_app(colour_store, host="0.0.0.0") as (_, client):
            for reply in (
                await client.post("/v1/models/mean_colour/unload"),
                await client.post("/v1/models/mean_colour/load", headers={"x-api-key": ""}),
                await client.delete("/v1/models/mean_colour"),
            ):
                assert (reply.status_code, reply.json()["error"]["code"]) == (403, "forbidden")

    asyncio.run(scenario())
