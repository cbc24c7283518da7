"""What a session may know of its connection beyond ASGI: that it is gone, and how to end it."""

import asyncio
from typing import Protocol

from server.exchange import Scope

EXTENSION = "quickeye.connection"


class Connection(Protocol):
    """``lost`` is set as soon as nothing can be sent any more, and ``close_code`` says why then."""

    lost: asyncio.Event
    close_code: int

    def abort(self) -> None:
        """End the connection; what was not sent is lost."""


class UnknownConnection:
    """Under another ASGI server: never seen to be lost, but through ``receive``."""

    def __init__(self) -> None:
        self.lost = asyncio.Event()
        self.close_code = 1006

    def abort(self) -> None:
        """Nothing that this server could do."""
        self.lost.set()


def connection_of(scope: Scope) -> Connection:
    """The connection below a WebSocket's scope."""
    found: Connection | None = scope.get("extensions", {}).get(EXTENSION)
    return UnknownConnection() if found is None else found
