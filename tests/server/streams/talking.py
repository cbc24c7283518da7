"""A well-behaved client of ``/v1/stream`` for tests against a listening server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
import ormsgpack
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

WAIT_S = 30.0


@asynccontextmanager
async def stream(url: str, query: str = "", **named: Any) -> AsyncIterator[ClientConnection]:  # noqa: ANN401
    """A stream whose ``ready`` was read. ``url`` is the server's, with http."""
    address = f"{url.replace('http', 'ws', 1)}/v1/stream{query}"
    async with connect(address, compression=None, max_size=2**24, proxy=None, open_timeout=WAIT_S, **named) as socket:
        first = await hear(socket)
        if first["type"] != "ready":
            raise AssertionError(first)
        yield socket


async def hear(socket: ClientConnection) -> dict[str, Any]:
    """The next event."""
    message = await asyncio.wait_for(socket.recv(), WAIT_S)
    event: dict[str, Any] = orjson.loads(message) if isinstance(message, str) else ormsgpack.unpackb(message)
    return event


async def closed(socket: ClientConnection) -> tuple[list[dict[str, Any]], int]:
    """Everything until the close, and its code."""
    heard = []
    try:
        while True:
            heard.append(await hear(socket))
    except ConnectionClosed as error:
        return heard, error.rcvd.code if error.rcvd is not None else 1006


async def refused(url: str, query: str = "", **named: Any) -> tuple[int, dict[str, str], dict[str, Any]]:  # noqa: ANN401
    """Status, headers and body of the response to a handshake that is refused."""
    try:
        async with stream(url, query, **named):
            raise AssertionError("it was let in")
    except InvalidStatus as error:
        response = error.response
        headers = {name.lower(): value for name, value in response.headers.raw_items()}
        return response.status_code, headers, orjson.loads(response.body or b"")


def best(event: dict[str, Any]) -> str:
    """The label of a result's best class."""
    if event["type"] != "result":
        raise AssertionError(event)
    label: str = event["predictions"][0]["label"]
    return label
