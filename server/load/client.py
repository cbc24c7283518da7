"""An HTTP/1.1 client that costs almost nothing, for a load generator that shares its cores with the server.

A general client spends more on a request than the server may (250 µs): it
builds URLs, merges headers and wakes tasks. Here a request is bytes made
once, a connection is one ``asyncio.Protocol`` around httptools' parser, and
an answer is one callback; ``benchmarks/client_cost.py`` measures all three
against the same server. The price: no TLS, no redirects, no decompression,
no pipelining, and a body that ends only when the peer closes is an error.

``Client`` keeps connections alive and hands out the one used last. A closed
connection is replaced by the next request; a request is never sent twice, so
that what the server counts is what is reported here.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import httptools
import orjson

MAX_ERROR_BODY_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Answer:
    """How one request ended.

    ``status`` is 0 when no whole answer came. ``error`` is None for 2xx, else
    the code in the answer's body (``http_503`` when the body names none), or
    ``client_timeout``, ``connection_failed``, ``connection_closed``,
    ``bad_response``.
    """

    status: int
    error: str | None
    retry_after: bool = False

    @property
    def ok(self) -> bool:
        """Whether the server did what was asked."""
        return 200 <= self.status < 300


Done = Callable[[Answer], None]
_PLAIN_OK = Answer(200, None)


@dataclass(frozen=True, slots=True)
class Target:
    """Where requests go: an address and the path with its query, and what their bodies are."""

    host: str
    port: int
    path: str
    content_type: str = "application/octet-stream"

    def request(self, body: bytes) -> bytes:
        """A whole POST, ready to be written."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        head = (
            f"POST {self.path} HTTP/1.1\r\nHost: {host}:{self.port}\r\nUser-Agent: quickeye-loadtest\r\n"
            f"Accept: */*\r\nContent-Type: {self.content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return head.encode("ascii") + body


def error_code(status: int, body: bytes) -> str:
    """The code of an error answer: ours (``error.code``), else the bare status."""
    try:
        code = orjson.loads(body)["error"]["code"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        code = None
    return code if isinstance(code, str) and code else f"http_{status}"


class Connection(asyncio.Protocol):
    """One connection, one request at a time; ``done`` is called exactly once for each."""

    def __init__(self, timeout_s: float, released: Callable[["Connection"], None]) -> None:
        self._timeout_s = timeout_s
        self._released = released
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.Handle | None = None
        self._done: Done | None = None
        self._status = 0  # of a whole answer, else 0
        self._keep_alive = False
        self._body = bytearray()
        self._retry_after = False

    @property
    def usable(self) -> bool:
        """Whether another request may be sent."""
        return self._transport is not None and self._done is None

    def send(self, request: bytes, done: Done) -> None:
        """Write one request; the connection must be ``usable``."""
        if self._transport is None or self._done is not None:
            raise RuntimeError("this connection is closed or has a request in flight")
        self._done = done
        self._timer = self._loop.call_later(self._timeout_s, self._give_up)
        self._transport.write(request)

    def close(self) -> None:
        """Hang up, without telling anyone."""
        self._done = None
        self._end(Answer(0, "connection_closed"), keep=False)

    # asyncio's callbacks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection stands."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's does not say that it is one

    def data_received(self, data: bytes) -> None:
        """Bytes of an answer, whole or not."""
        if self._done is None:  # nobody asked: such a server can't be followed
            self._end(Answer(0, "bad_response"), keep=False)
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._end(Answer(0, "bad_response"), keep=False)
            return
        if self._status:
            self._end(self._answer(), keep=self._keep_alive)

    def connection_lost(self, error: Exception | None) -> None:
        """The peer hung up, or we did."""
        self._transport = None
        self._end(Answer(0, "connection_closed"), keep=False)

    # httptools' callbacks

    def on_message_begin(self) -> None:
        """A new answer starts."""
        self._status = 0
        self._retry_after = False
        self._body.clear()

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header; only Retry-After is of interest."""
        if len(name) == 11 and name.lower() == b"retry-after":
            self._retry_after = True

    def on_body(self, chunk: bytes) -> None:
        """Part of a body, kept (up to a limit) when it explains an error."""
        if self._parser.get_status_code() >= 300 and len(self._body) < MAX_ERROR_BODY_BYTES:
            self._body += chunk

    def on_message_complete(self) -> None:
        """The answer is whole, unless it was a 1xx before the real one."""
        status = self._parser.get_status_code()
        if status >= 200:
            self._status = status
            self._keep_alive = self._parser.should_keep_alive()

    def _answer(self) -> Answer:
        if self._status == 200 and not self._retry_after:
            return _PLAIN_OK
        error = None if self._status < 300 else error_code(self._status, bytes(self._body))
        return Answer(self._status, error, self._retry_after)

    def _give_up(self) -> None:
        self._end(Answer(0, "client_timeout"), keep=False)

    def _end(self, answer: Answer, *, keep: bool) -> None:
        done, self._done = self._done, None
        self._status = 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not keep and self._transport is not None:
            self._transport.abort()
            self._transport = None
        self._released(self)
        if done is not None:
            done(answer)


class Client:
    """A pool of connections to one target; as many as there are requests in flight."""

    def __init__(self, target: Target, *, timeout_s: float) -> None:
        self.target = target
        self.connections_opened = 0
        self._timeout_s = timeout_s
        self._open: set[Connection] = set()
        self._idle: dict[Connection, None] = {}  # in the order of release; the last is used first
        self._opening: set[asyncio.Task[None]] = set()

    async def connect(self) -> None:
        """Open one connection and keep it.

        Raises:
            OSError: nobody listens there, or the name has no address (TimeoutError: no reply in time).
        """
        connection = await self._connect()
        self._released(connection)

    def send(self, request: bytes, done: Done) -> None:
        """Send on an idle connection or a new one; ``done`` is called once, later, from the event loop."""
        if self._idle:
            connection, _ = self._idle.popitem()
            connection.send(request, done)
            return
        task = asyncio.get_running_loop().create_task(self._connect_and_send(request, done))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def ask(self, request: bytes) -> Answer:
        """Send one and wait for its end."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self.send(request, lambda answer: None if future.done() else future.set_result(answer))
        return await future

    async def close(self) -> None:
        """Drop every connection; what is in flight is never reported."""
        tasks = tuple(self._opening)
        for task in tasks:
            task.cancel()
        for connection in tuple(self._open):
            connection.close()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)  # the transports say goodbye

    async def _connect_and_send(self, request: bytes, done: Done) -> None:
        try:
            connection = await self._connect()
        except TimeoutError:
            done(Answer(0, "client_timeout"))
        except OSError:
            done(Answer(0, "connection_failed"))
        else:
            if connection.usable:
                connection.send(request, done)
            else:
                done(Answer(0, "connection_closed"))

    async def _connect(self) -> Connection:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(self._timeout_s):
            _, connection = await loop.create_connection(
                lambda: Connection(self._timeout_s, self._released), self.target.host, self.target.port
            )
        self.connections_opened += 1
        self._open.add(connection)
        return connection

    def _released(self, connection: Connection) -> None:
        if connection.usable:
            self._idle[connection] = None
        else:
            self._idle.pop(connection, None)
            self._open.discard(connection)
