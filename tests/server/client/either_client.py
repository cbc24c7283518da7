"""Calling the client that blocks and the one on an event loop in the same way."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from server.client import AsyncClient, Client

KINDS = ("sync", "async")


def call(kind: str, url: str, name: str, *given: object, **settings: Any) -> Any:  # noqa: ANN401 (what the call gives)
    """One call of a client made for it.

    Args:
        name: of the method; ``given`` goes to it, and of ``settings`` what ``client`` does not hold.
    """
    made: dict[str, Any] = settings.pop("client", {})
    if kind == "sync":
        with Client(url, **made) as client:
            return getattr(client, name)(*given, **settings)

    async def run() -> object:
        async with AsyncClient(url, **made) as client:
            method: Callable[..., Coroutine[Any, Any, object]] = getattr(client, name)
            return await method(*given, **settings)

    return asyncio.run(run())
