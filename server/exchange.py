"""One HTTP exchange on a hot route: what came in, what goes out, and the line in the log.

Plain ASGI: the framework's conveniences cost more than the rest of a request.
"""

import itertools
import os
import re
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from server.errors import Refusal
from server.peer import PEER, Peer
from server.tracing.contracts import RequestTrace

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Scope = MutableMapping[str, Any]

MAX_LOGGED_PATH = 500
_SANE_ID = re.compile(rb"[A-Za-z0-9_.:-]{1,128}")


class RequestIds:
    """New request ids: eight random hexadecimal digits of this server, then a count."""

    def __init__(self) -> None:
        self._prefix = os.urandom(4).hex()
        self._count = itertools.count(1)

    def of(self, given: bytes | None) -> str:
        """The caller's X-Request-ID when it is harmless, else a new one."""
        if given is not None and _SANE_ID.fullmatch(given):
            return given.decode("ascii")
        return f"{self._prefix}{next(self._count):08x}"


@dataclass(slots=True)
class Exchange:
    """One request being answered. ``record`` ends up in the access line; ``trace`` is None while nothing is traced."""

    method: str
    path: str
    headers: dict[bytes, bytes]
    query: bytes
    client: str
    receive: Receive
    send: Send
    request_id: str
    started_s: float
    peer: Peer | None = None
    record: dict[str, object] = field(default_factory=dict)
    status: int = 0
    trace: RequestTrace | None = None

    @property
    def exemplar(self) -> dict[str, str] | None:
        """What histograms point to, when this is sampled."""
        return None if self.trace is None else self.trace.exemplar

    @property
    def own_headers(self) -> list[tuple[bytes, bytes]]:
        """What every answer says of its request: its id, and its trace."""
        named = [(b"x-request-id", self.request_id.encode())]
        if self.trace is not None:
            named.append(self.trace.header)
        return named

    async def reply(self, status: int, body: bytes, *headers: tuple[bytes, bytes]) -> None:
        """Send a whole JSON response."""
        self.status = status
        lines = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            *self.own_headers,
            *headers,
        ]
        if status == 200 and self.peer is not None and self.peer.respond(lines, body):
            return
        await self.send({"type": "http.response.start", "status": status, "headers": lines})
        await self.send({"type": "http.response.body", "body": body})

    async def refuse(self, refusal: Refusal, *extra: tuple[bytes, bytes], **beside: object) -> None:
        """Send an error in the form of ``/v1``, with ``extra`` headers and whatever goes ``beside`` it."""
        self.record["code"] = refusal.code
        headers = [*extra]
        if refusal.retry_after is not None:
            headers.append((b"retry-after", refusal.retry_after.encode()))
        if refusal.code in CLOSING:
            headers.append((b"connection", b"close"))
        await self.reply(refusal.status, error_body(refusal, self.request_id, **beside), *headers)

    def line(self) -> dict[str, object]:
        """What the access log says of this exchange."""
        return {
            "request_id": self.request_id,
            "client": self.client,
            "method": self.method,
            "path": self.path[:MAX_LOGGED_PATH],
            "status": self.status,
            "total_ms": int((time.monotonic() - self.started_s) * 1e5 + 0.5) / 1e2,
            **self.record,
        }


# After these the rest of the body is not read, so the connection cannot be used again.
CLOSING = frozenset({"body_too_large", "body_timeout"})


def error_body(refusal: Refusal, request_id: str, **beside: object) -> bytes:
    """The error form of ``/v1``."""
    error = {"code": refusal.code, "message": refusal.message, "request_id": request_id}
    return orjson.dumps({"error": error, **beside})


def open_exchange(scope: Scope, receive: Receive, send: Send, ids: RequestIds) -> Exchange:
    """Read what a hot route needs from an ASGI scope."""
    headers = dict(scope["headers"])
    client = scope.get("client")
    return Exchange(
        method=scope["method"],
        path=scope["path"],
        headers=headers,
        query=scope["query_string"],
        client=client[0] if client else "",
        receive=receive,
        send=send,
        request_id=ids.of(headers.get(b"x-request-id")),
        started_s=time.monotonic(),
        peer=scope["extensions"].get(PEER) if "extensions" in scope else None,
    )
