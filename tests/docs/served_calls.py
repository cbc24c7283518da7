"""What the server answers, by its own OpenAPI document."""

import asyncio
import re
from functools import cache
from typing import Any

import httpx

from server.app import create_app
from server.config import Config

# In no OpenAPI document: two pages for people, the document itself, and the stream's.
BESIDE_THE_SCHEMA = ("GET /", "GET /docs", "GET /openapi.json", "GET /asyncapi.json")
# What is no call at all: the stream, and what it answers to one.
STREAMS = ("WS /v1/stream", "GET /v1/stream")


@cache
def calls() -> frozenset[str]:
    """``METHOD /path`` of every call."""
    paths = asyncio.run(_schema())["paths"]
    described = {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}
    return frozenset(described.union(BESIDE_THE_SCHEMA, STREAMS))


def is_served(method: str, path: str) -> bool:
    """Whether some call fits a real path, such as ``/v1/models/shoes/predict``."""
    patterns = (re.sub(r"\{\w+\}", "[^/]+", call) for call in calls())
    return any(re.fullmatch(pattern, f"{method} {path}") for pattern in patterns)


async def _schema() -> dict[str, Any]:
    transport = httpx.ASGITransport(app=create_app(Config(access_log=False)))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        for call in BESIDE_THE_SCHEMA:
            (await client.get(call.split()[1])).raise_for_status()
        document: dict[str, Any] = (await client.get("/openapi.json")).json()
        return document
