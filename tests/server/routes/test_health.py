"""Alive and ready: what a load balancer is told, and when."""

import asyncio
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import httpx
import pytest

from model_zoo.bundle import Bundle
from server.config import Config
from server.loading import load
from server.served_model import LoadedModel
from tests.server.in_app import client_of, running_app


def told(reply: httpx.Response) -> tuple[int, str]:
    """(status, error code or text)."""
    is_text = reply.headers["content-type"].startswith("text/plain")
    return reply.status_code, reply.text.strip() if is_text else reply.json()["error"]["code"]


def run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(scenario)


def test_ready_once_the_models_answer(colour_store: Path) -> None:
    async def scenario() -> None:
        async with running_app(colour_store) as (_, client):
            assert told(await client.get("/healthz")) == (200, "ok")
            assert told(await client.get("/readyz")) == (200, "ready")

    run(scenario())


def test_not_ready_while_loading(colour_store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = threading.Event()

    def load_behind_gate(config: Config, bundle: Bundle) -> LoadedModel:
        assert gate.wait(20)
        return load(config, bundle)

    monkeypatch.setattr("server.catalogue.load", load_behind_gate)

    async def scenario() -> None:
        async with running_app(colour_store, wait=False) as (app, client):
            for call in ("/readyz", "/v1/models/mean_colour"):
                reply = await client.get(call)
                assert told(reply) == (503, "not_ready"), call
                assert int(reply.headers["retry-after"]) >= 1
            for call in ("/v1/predict", "/v1/models/mean_colour/load"):
                assert told(await client.post(call, content=b"x")) == (503, "not_ready"), call
            assert told(await client.get("/healthz")) == (200, "ok")
            gate.set()
            await app.service.ready.wait()
            assert told(await client.get("/readyz")) == (200, "ready")

    run(scenario())


def test_not_ready_while_draining(colour_store: Path) -> None:
    async def scenario() -> None:
        async with running_app(colour_store) as (app, client):
            await app.service.drain(5.0)
            for reply in (await client.get("/readyz"), await client.post("/v1/predict", content=b"x")):
                assert told(reply) == (503, "draining")
                assert int(reply.headers["retry-after"]) >= 1
            assert told(await client.post("/v1/models/mean_colour/load")) == (503, "draining")
            assert told(await client.get("/healthz")) == (200, "ok")

    run(scenario())


def test_not_ready_with_nothing_to_serve(colour_store: Path) -> None:
    async def scenario() -> None:
        async with running_app(colour_store) as (_, client):
            assert (await client.post("/v1/models/mean_colour/unload")).status_code == 200
            assert told(await client.get("/readyz")) == (503, "not_ready")
            assert told(await client.post("/v1/predict", content=b"x")) == (404, "unknown_model")
            assert (await client.post("/v1/models/mean_colour/load")).status_code == 200
            assert told(await client.get("/readyz")) == (200, "ready")

    run(scenario())


def test_a_model_that_cannot_be_loaded_is_said(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running_app(tmp_path) as (app, client):
            assert app.service.failure is not None
            reply = await client.get("/readyz")
            assert told(reply) == (503, "backend_unavailable")
            assert "no bundles" in reply.json()["error"]["message"]
            async with client_of(app) as another:
                assert told(await another.get("/healthz")) == (200, "ok")

    run(scenario())
