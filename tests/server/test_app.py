"""The application's edges: one form for every error, an id on every reply, nothing fetched from elsewhere."""

import asyncio
import logging
import re
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import httpx
import pytest

from model_zoo.errors import BundleError
from server.app import App
from server.backends.errors import BackendError
from server.exchange import Exchange
from server.routes import HotRoute
from tests.server.in_app import running_app
from tests.server.posting import RED

SECRET = "/etc/secret/path"


Scenario = Callable[[App, httpx.AsyncClient], Coroutine[Any, Any, None]]


def with_app(store: Path, scenario: Scenario, **settings: object) -> None:
    async def run() -> None:
        async with running_app(store, **settings) as (app, client):
            await scenario(app, client)

    asyncio.run(run())


def assert_error(reply: httpx.Response, status: int, code: str) -> None:
    """The form of every error, hot or not."""
    assert (reply.status_code, reply.json()["error"]["code"]) == (status, code), reply.text
    error = reply.json()["error"]
    assert set(error) == {"code", "message", "request_id"}
    assert error["request_id"] == reply.headers["x-request-id"]
    assert error["message"]
    assert reply.headers["content-type"] == "application/json"


def test_every_error_has_the_same_form(colour_store: Path) -> None:
    async def scenario(app: App, client: httpx.AsyncClient) -> None:
        assert_error(await client.get("/nowhere"), 404, "not_found")
        assert_error(await client.get("/static-offline-docs/nothing.js"), 404, "not_found")
        assert_error(await client.get("/v1/models/nobody"), 404, "unknown_model")
        assert_error(await client.get("/v1/models/mean_colour?version=0"), 400, "invalid_request")
        assert_error(await client.get("/v1/models/mean_colour?version=x"), 400, "invalid_request")
        assert_error(await client.post("/v1/models/mean_colour/load?version=99"), 404, "unknown_model")
        assert_error(await client.post("/v1/predict?top_k=0", content=RED), 400, "invalid_request")

    with_app(colour_store, scenario)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/healthz", "GET"),
        ("POST", "/metrics", "GET"),
        ("POST", "/", "GET"),
        ("PUT", "/v1/models/mean_colour", "DELETE, GET"),
        ("GET", "/v1/models/mean_colour/load", "POST"),
        ("GET", "/v1/predict", "POST"),
        ("DELETE", "/v1/models/mean_colour/predict", "POST"),
    ],
)
def test_a_wrong_method_is_told_the_right_ones(colour_store: Path, method: str, path: str, allowed: str) -> None:
    async def scenario(app: App, client: httpx.AsyncClient) -> None:
        reply = await client.request(method, path)
        assert_error(reply, 405, "method_not_allowed")
        assert reply.headers["allow"] == allowed

    with_app(colour_store, scenario)


def test_every_reply_has_a_request_id(colour_store: Path) -> None:
    async def scenario(app: App, client: httpx.AsyncClient) -> None:
        seen = []
        for path in ("/", "/docs", "/openapi.json", "/healthz", "/readyz", "/metrics", "/v1/models", "/nowhere"):
            reply = await client.get(path)
            assert reply.headers.get_list("x-request-id") == [reply.headers["x-request-id"]]
            seen.append(reply.headers["x-request-id"])
            mine = await client.get(path, headers={"x-request-id": "mine:1"})
            assert mine.headers["x-request-id"] == "mine:1"
        seen.append((await client.post("/v1/predict", content=RED)).headers["x-request-id"])
        assert len(set(seen)) == len(seen)

    with_app(colour_store, scenario)


@pytest.mark.parametrize("error", [RuntimeError(SECRET), BackendError(SECRET), BundleError(SECRET), KeyError(SECRET)])
@pytest.mark.parametrize("hot", [True, False])
def test_a_fault_of_ours_is_500_without_details_and_logged_once_with_its_id(
    colour_store: Path, caplog: pytest.LogCaptureFixture, error: Exception, hot: bool
) -> None:
    async def fails_hot(exchange: Exchange, path: dict[str, str]) -> None:
        raise error

    async def fails() -> None:
        raise error

    async def scenario(app: App, client: httpx.AsyncClient) -> None:
        if hot:
            app._hot.insert(0, HotRoute("GET", re.compile("/boom"), fails_hot))
        else:
            app._framework.add_api_route("/boom", fails)
        reply = await client.get("/boom")
        assert_error(reply, 500, "internal")
        assert "secret" not in reply.text
        told = [one for one in caplog.records if reply.headers["x-request-id"] in one.getMessage()]
        assert len(told) == 1
        assert told[0].exc_info is not None
        assert told[0].exc_info[1] is error
        assert (await client.post("/v1/predict", content=RED)).status_code == 200

    with caplog.at_level(logging.ERROR):
        with_app(colour_store, scenario)


def test_a_backend_that_fails_is_500_without_details(colour_store: Path) -> None:
    async def scenario(app: App, client: httpx.AsyncClient) -> None:
        statuses = []
        for _ in range(10):
            reply = await client.post("/v1/predict", content=RED)
            statuses.append(reply.status_code)
            if reply.status_code == 500:
                assert reply.json()["error"]["code"] == "internal"
                assert "fail_every" not in reply.text
        assert statuses.count(500) == 1
        assert statuses.count(200) == 9

    with_app(colour_store, scenario, backend_options=("fake.fail_every=10",))


def test_a_fault_after_the_reply_is_not_answered_twice(colour_store: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def half(exchange: Exchange, path: dict[str, str]) -> None:
        await exchange.reply(200, b"{}")
        raise RuntimeError("after the reply")

    async def scenario(app: App, client: httpx.AsyncClient) -> None:
        app._hot.insert(0, HotRoute("GET", re.compile("/half"), half))
        assert (await client.get("/half")).json() == {}

    with_app(colour_store, scenario)
    assert "after the reply" in caplog.text


@pytest.mark.parametrize("page", ["/docs", "/"])
def test_pages_fetch_nothing_from_elsewhere(colour_store: Path, page: str) -> None:
    async def scenario(app: App, client: httpx.AsyncClient) -> None:
        reply = await client.get(page)
        assert reply.status_code == 200
        assert reply.headers["content-type"].startswith("text/html")
        sources = re.findall(r"""(?:src|href|url|action)\s*[=:(]\s*["']?([^"'\s>)]+)""", reply.text)
        assert [one for one in sources if re.match(r"(https?:)?//", one)] == []
        for one in sources:
            if one.startswith("/"):
                assert (await client.get(one)).status_code == 200, one

    with_app(colour_store, scenario)
