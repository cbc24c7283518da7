"""``/debug``: who may, one profile at a time, and batches whose figures add up."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from server.app import App
from server.errors import STATUSES
from server.exchange import Message
from server.routes.batch_list import BatchList
from tests.pictures import encode, picture, truncated
from tests.server.in_app import running_app
from tests.server.posting import GREEN, RED
from tests.server.profiling.threads_at_work import spinning
from tests.server.raw_socket import until
from tests.server.running import Running, serving

KEY = {"X-API-Key": "sesame"}
CALLS = ("/debug/profile?seconds=0.1", "/debug/batches")
LONG = "/debug/profile?seconds=60&format=json"

Scenario = Callable[[App, httpx.AsyncClient], Coroutine[Any, Any, None]]


def with_app(store: Path, scenario: Scenario, **settings: object) -> None:
    async def run() -> None:
        async with running_app(store, **{"debug": True, **settings}) as (app, client):
            await scenario(app, client)

    asyncio.run(run())


def error_of(reply: httpx.Response) -> tuple[int, str]:
    return reply.status_code, reply.json()["error"]["code"]


def test_both_are_closed_unless_the_server_was_started_with_debug(colour_store: Path) -> None:
    async def scenario(app: App, client: httpx.AsyncClient) -> None:
        for path in CALLS:
            for headers in ({}, KEY):
                reply = await client.get(path, headers=headers)
                assert error_of(reply) == (403, "forbidden")
                assert "--debug" in reply.json()["error"]["message"]
        await client.post("/v1/predict", content=RED)
        assert app.service.catalogue.batches is None

    with_app(colour_store, scenario, debug=False, admin_key="sesame")


def test_they_ask_for_the_admin_key(colour_store: Path) -> None:
    async def scenario(app: App, client: httpx.AsyncClient) -> None:
        for path in CALLS:
            assert error_of(await client.get(path)) == (401, "unauthorized")
            assert error_of(await client.get(path, headers={"X-API-Key": "open"})) == (403, "forbidden")
            assert (await client.get(path, headers=KEY)).status_code == 200

    with_app(colour_store, scenario, admin_key="sesame", api_keys=("open",))


def test_without_a_key_they_are_for_this_machine_alone(colour_store: Path) -> None:
    async def on_loopback(app: App, client: httpx.AsyncClient) -> None:
        for path in CALLS:
            assert (await client.get(path)).status_code == 200
            assert error_of(await client.get(path, headers={"sec-fetch-site": "cross-site"})) == (403, "forbidden")

    async def elsewhere(app: App, client: httpx.AsyncClient) -> None:
        for path in CALLS:
            assert error_of(await client.get(path)) == (403, "forbidden")

    with_app(colour_store, on_loopback)
    with_app(colour_store, elsewhere, host="0.0.0.0")


@pytest.mark.parametrize(
    "query",
    [
        "profile?seconds=0",
        "profile?seconds=61",
        "profile?seconds=nan",
        "profile?second=1",
        "profile?seconds=1&seconds=2",
        "profile?format=svg",
        "profile?view=gpu",
        "batches?limit=0",
        "batches?limit=257",
        "batches?models=apple",
    ],
)
def test_odd_questions_are_refused(colour_store: Path, query: str) -> None:
    async def scenario(app: App, client: httpx.AsyncClient) -> None:
        assert error_of(await client.get(f"/debug/{query}")) == (400, "invalid_request")

    with_app(colour_store, scenario)


def test_a_profile_has_the_functions_of_a_busy_thread(colour_store: Path) -> None:
    async def scenario(app: App, client: httpx.AsyncClient) -> None:
        for form, kind in (
            ("html", "text/html; charset=utf-8"),
            ("folded", "text/plain; charset=utf-8"),
            ("speedscope", "application/json"),
            ("json", "application/json"),
        ):
            reply = await client.get(f"/debug/profile?seconds=0.3&format={form}&view=wall")
            assert (reply.status_code, reply.headers["content-type"]) == (200, kind)
            assert "busy bee" in reply.text
            assert "spin_here" in reply.text
            assert "event loop" in reply.text
            assert "mean_colour/2 instance 0" in reply.text
            assert "default-src 'none'" in reply.headers["content-security-policy"]

    with spinning("busy bee"):
        with_app(colour_store, scenario)


def test_one_profile_at_a_time(colour_store: Path) -> None:
    async def scenario(app: App, client: httpx.AsyncClient) -> None:
        first = asyncio.ensure_future(client.get(LONG))
        await until(lambda: app.service.profiler._over)
        second = await client.get("/debug/profile?seconds=0.1")
        assert error_of(second) == (429, "overloaded")
        assert 1 <= int(second.headers["retry-after"]) <= 60
        app.service.profiler.end()
        assert (await first).json()["ended_early"] is True
        assert (await client.get("/debug/profile?seconds=0.1")).status_code == 200

    with_app(colour_store, scenario)


def test_a_caller_who_leaves_ends_the_profile(colour_store: Path) -> None:
    async def scenario(app: App, client: httpx.AsyncClient) -> None:
        left = asyncio.Event()
        messages: list[Message] = []

        async def receive() -> Message:
            if not left.is_set():
                left.set()
                return {"type": "http.request", "body": b"", "more_body": False}
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            messages.append(message)

        path, _, query = LONG.partition("?")
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http",
            "path": path, "raw_path": path.encode(), "query_string": query.encode(), "root_path": "",
            "headers": [(b"host", b"127.0.0.1:8000")], "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 8000),
        }  # fmt: skip
        await app(scope, receive, send)
        assert messages[0]["status"] == STATUSES["abandoned"].http
        await until(lambda: app.service.profiler._over is None)
        assert (await client.get("/debug/profile?seconds=0.1")).status_code == 200

    with_app(colour_store, scenario)


def test_no_profile_is_begun_while_the_server_drains(colour_store: Path) -> None:
    async def scenario(app: App, client: httpx.AsyncClient) -> None:
        app.service.draining = True
        assert error_of(await client.get("/debug/profile?seconds=0.1")) == (503, "draining")
        assert (await client.get("/debug/batches")).status_code == 200

    with_app(colour_store, scenario)


def test_batches_add_up(colour_store: Path) -> None:
    async def scenario(app: App, client: httpx.AsyncClient) -> None:
        for count in (1, 3, 4):
            reply = await client.post("/v1/predict", files=[("f", (str(at), GREEN)) for at in range(count)])
            assert reply.status_code == 200
        told = (await client.get("/debug/batches")).json()
        BatchList.model_validate(told, strict=True)
        batches = told["batches"]
        assert sum(batch["size"] for batch in batches) == 8
        assert len({batch["id"] for batch in batches}) == len(batches)
        assert [batch["formed_at"] for batch in batches] == sorted((b["formed_at"] for b in batches), reverse=True)
        for batch in batches:
            assert batch["size"] == batch["run"] == len(batch["pictures"]) <= 2
            assert (batch["model"], batch["version"], batch["instance"]) == ("mean_colour", 2, 0)
            assert 0 <= batch["run_ms"] <= batch["ran_ms"] <= batch["ended_ms"]
            assert 0 < batch["measured_ms"] <= batch["ended_ms"]
            assert batch["predicted_ms"] > 0
            assert batch["closed_by"] in ("full", "empty", "efficient", "probe")
            assert (batch["left_waiting"] == 0) or batch["closed_by"] != "empty"
            for one in batch["pictures"]:
                assert one["arrived_ms"] <= 0
                assert one["total_ms"] == pytest.approx(batch["ended_ms"] - one["arrived_ms"], abs=0.002)
                assert sum(one["timing_ms"].values()) <= one["total_ms"] + 0.01  # six figures, rounded
                assert one["timing_ms"]["infer"] == pytest.approx(batch["ran_ms"] - batch["run_ms"], abs=0.002)
                assert one["outcome"] == "ok"

    with_app(colour_store, scenario)


def test_broken_pictures_and_failed_runs_are_told(colour_store: Path) -> None:
    cut = truncated(encode(picture(400, 300), "jpeg"))

    async def scenario(app: App, client: httpx.AsyncClient) -> None:
        assert (await client.post("/v1/predict", content=cut)).status_code == 400
        (broken,) = (await client.get("/debug/batches")).json()["batches"]
        assert (broken["size"], broken["run"], broken["errors"], broken["run_ms"]) == (1, 0, 1, None)
        assert broken["pictures"][0]["outcome"] == "undecodable_image"
        statuses = [(await client.post("/v1/predict", content=RED)).status_code for _ in range(10)]
        assert statuses.count(500) == 1
        told = (await client.get("/debug/batches?limit=10")).json()["batches"]
        (failed,) = [batch for batch in told if batch["errors"]]
        assert (failed["run"], failed["ran_ms"]) == (1, None)
        assert failed["run_ms"] is not None
        assert failed["pictures"][0]["outcome"] == "internal"

    with_app(colour_store, scenario, backend_options=("fake.fail_every=10",))


def test_batches_of_one_model_and_not_more_than_asked_for(colour_store: Path) -> None:
    async def scenario(app: App, client: httpx.AsyncClient) -> None:
        for _ in range(3):
            await client.post("/v1/predict", content=RED)
        one = (await client.get("/debug/batches?model=mean_colour&limit=1")).json()["batches"]
        assert [batch["id"] for batch in one] == [3]
        assert error_of(await client.get("/debug/batches?model=nobody")) == (404, "unknown_model")
        await client.post("/v1/models/mean_colour/load")
        await client.post("/v1/predict", content=RED)
        assert [batch["id"] for batch in (await client.get("/debug/batches")).json()["batches"]] == [4, 3, 2, 1]

    with_app(colour_store, scenario)


def test_warm_up_is_in_no_batch(colour_store: Path) -> None:
    async def scenario(app: App, client: httpx.AsyncClient) -> None:
        assert (await client.get("/debug/batches")).json()["batches"] == []

    with_app(colour_store, scenario)


@contextlib.contextmanager
def debugged(store: Path, folder: Path) -> Iterator[Running]:
    """A real server with ``--debug``."""
    with serving(folder, "--store", str(store), "--backend", "fake", "--debug") as running:
        yield running


def test_a_connection_that_is_lost_ends_the_profile(colour_store: Path, tmp_path: Path) -> None:
    with debugged(colour_store, tmp_path) as running, running.client() as client:
        with httpx.Client(base_url=running.url, trust_env=False) as other, pytest.raises(httpx.ReadTimeout):
            other.get(LONG, timeout=httpx.Timeout(30.0, read=0.5))
        while (reply := client.get("/debug/profile?seconds=0.1")).status_code == 429:
            pass
        assert reply.status_code == 200


def test_a_profile_does_not_hold_up_the_end_of_the_server(colour_store: Path, tmp_path: Path) -> None:
    with debugged(colour_store, tmp_path) as running, ThreadPoolExecutor(1) as pool:

        def profiled() -> httpx.Response:
            with running.client() as client:
                while (reply := client.get(LONG, timeout=120.0)).status_code == 429:
                    pass
                return reply

        profile = pool.submit(profiled)
        with running.client() as client:
            while client.get("/debug/profile?seconds=0.1").status_code == 200:
                pass
        running.terminate()
        reply = profile.result()
        assert (reply.status_code, reply.json()["ended_early"]) == (200, True)
        assert running.ended() == 0
