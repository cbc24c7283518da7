"""A WebSocket client of a few lines that shares no code with the server's library, and a server to point it at."""

import asyncio
import base64
import contextlib
import hashlib
import os
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from uvicorn.server import ServerState

from server.exchange import Receive, Scope, Send
from server.http_protocol import HttpProtocol
from server.ws_protocol import WebSocketProtocol

Application = Callable[[Scope, Receive, Send], Awaitable[None]]

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
WAIT_S = 20.0
MAX_BYTES = 2**20
KEY = base64.b64encode(bytes(16)).decode()


@dataclass
class Wire:
    """A server on a free port; ``sockets`` are the WebSocket connections it made."""

    port: int
    state: ServerState
    made: list[WebSocketProtocol] = field(default_factory=list)


async def until(happened: Callable[[], object]) -> None:
    """Look again and again: what is inside a server tells nobody."""
    async with asyncio.timeout(WAIT_S):
        while not happened():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def wired(
    app: Application,
    *,
    ping_s: float = 20.0,
    send_timeout_s: float = 10.0,
    http: type[HttpProtocol] = HttpProtocol,
) -> AsyncIterator[Wire]:
    """An application behind both protocols, as ``serving.py`` puts it there."""
    wire = Wire(0, ServerState())

    class Noted(WebSocketProtocol):
        def __init__(self, *given: Any, **named: Any) -> None:  # noqa: ANN401
            super().__init__(*given, **named)
            self.send_timeout_s = send_timeout_s
            wire.made.append(self)

    config = uvicorn.Config(
        app, http=http, ws=Noted, lifespan="off", log_config=None, ws_max_size=MAX_BYTES, ws_ping_interval=ping_s,
        ws_ping_timeout=ping_s, ws_per_message_deflate=False, server_header=False,
    )  # fmt: skip
    config.load()
    loop = asyncio.get_running_loop()
    made: Callable[[], HttpProtocol] = lambda: http(config=config, server_state=wire.state, app_state={})  # noqa: E731
    server = await loop.create_server(made, "127.0.0.1", 0)
    wire.port = server.sockets[0].getsockname()[1]
    try:
        yield wire
    finally:
        server.close()
        for connection in list(wire.state.connections):
            connection.transport.abort()
        await until(lambda: not wire.state.tasks and not wire.state.connections)


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, masked: bool = True, reserved: int = 0) -> bytes:
    """One frame of RFC 6455, section 5.2, with a mask of zeros."""
    length = len(payload)
    if length < 126:
        size = bytes([length | (masked << 7)])
    elif length < 2**16:
        size = bytes([126 | (masked << 7)]) + struct.pack(">H", length)
    else:
        size = bytes([127 | (masked << 7)]) + struct.pack(">Q", length)
    return bytes([(fin << 7) | (reserved << 4) | opcode]) + size + (bytes(4) if masked else b"") + payload


def handshake(path: str = "/", *extra: str, method: str = "GET", version: str = "1.1") -> bytes:
    """The head of an opening handshake."""
    lines = [
        f"{method} {path} HTTP/{version}", "Host: x", "Upgrade: websocket", "Connection: Upgrade",
        f"Sec-WebSocket-Key: {KEY}", "Sec-WebSocket-Version: 13", *extra, "", "",
    ]  # fmt: skip
    return "\r\n".join(lines).encode()


class Raw:
    """A connection below the WebSocket's grammar: what it writes is up to the test."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def head(self) -> str:
        """A response's head."""
        async with asyncio.timeout(WAIT_S):
            return (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")

    async def rest(self) -> bytes:
        """Everything until the server closes."""
        async with asyncio.timeout(WAIT_S):
            return await self.reader.read()

    def says(self, *frames: bytes) -> None:
        self.writer.write(b"".join(frames))

    async def hears(self) -> tuple[int, bytes]:
        """The next frame: opcode and payload. Servers neither mask nor fragment."""
        async with asyncio.timeout(WAIT_S):
            first, second = await self.reader.readexactly(2)
            if not first & 0x80 or second & 0x80:
                raise AssertionError("a fragment, or a masked frame")
            length = second
            if second > 125:
                length = int.from_bytes(await self.reader.readexactly(2 if second == 126 else 8))
            return first & 0x0F, await self.reader.readexactly(length)

    async def hears_close(self) -> int:
        """The code of the close frame that comes next, pings passed over."""
        while True:
            opcode, payload = await self.hears()
            if opcode == CLOSE:
                return int.from_bytes(payload[:2])
            if opcode != PING:
                raise AssertionError(f"opcode {opcode} instead of a close: {payload[:100]!r}")


@contextlib.asynccontextmanager
async def connected(port: int) -> AsyncIterator[Raw]:
    """A TCP connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**26)
    try:
        yield Raw(reader, writer)
    finally:
        writer.transport.abort()


@contextlib.asynccontextmanager
async def opened(port: int, path: str = "/", *extra: str) -> AsyncIterator[Raw]:
    """A WebSocket after its handshake."""
    async with connected(port) as raw:
        raw.says(handshake(path, *extra))
        head = await raw.head()
        proof = base64.b64encode(hashlib.sha1(f"{KEY}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()).decode()
        if not head.startswith("HTTP/1.1 101 ") or proof not in head:
            raise AssertionError(head)
        yield raw


def noise(size: int) -> bytes:
    return os.urandom(size)
