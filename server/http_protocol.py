"""uvicorn's HTTP/1.1 protocol, writing each response with one system call, and bounded where uvicorn's is not.

What is written in one turn of the loop leaves together (``gathering_transport.py``).

A client may offer to go on in HTTP/2 (``Upgrade: h2c``, as Java's and curl's do). The
offer may be ignored, but the parser would stop at it and lose the body: it is renamed
before the parser sees it.

A request of HTTP/1.1 that names no host, or several, is none (RFC 9112, section 3.2).

A body that nobody reads, of a call that was refused or takes none, is thrown away as it
comes, for ``LINGER_S`` and ``MAX_LINGER_BYTES`` at most; then the connection ends.

A request's head (its line and headers) may be as long as it likes in uvicorn, and
take for ever to come. Here it has ``MAX_HEAD_BYTES`` after its first piece (what one
read of the socket gave, at most 256 KiB) and ``HEAD_TIMEOUT_S``.
"""

import asyncio
import re
import sys
from collections.abc import Callable, Sequence
from typing import cast

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from server.gathering_transport import GatheringTransport
from server.peer import PEER

MAX_HEAD_BYTES = 64 * 1024
HEAD_TIMEOUT_S = 30.0
LINGER_S = 5.0
MAX_LINGER_BYTES = 2**20

_HTTP_2_OFFER = re.compile(rb"\r\nupgrade:(?=[ \t]*h2c)", re.IGNORECASE)


class _CyclePeer:
    """The ``Peer`` of one request of uvicorn's.

    Once the response is made it lets go of the request: a picture must not wait for the garbage collector.
    """

    __slots__ = ("_cycle", "_on_left", "_on_response", "_transport")

    def __init__(self, cycle: RequestResponseCycle, transport: GatheringTransport) -> None:
        self._cycle = cycle
        self._transport = transport
        self._on_left: Callable[[], None] | None = None
        self._on_response = cycle.on_response
        cycle.on_response = self._answered
        cycle.scope["extensions"] = {PEER: self}  # type: ignore[dict-item]

    def watch(self, on_left: Callable[[], None]) -> None:
        self._on_left = on_left
        if self._cycle.disconnected:
            self.has_left()

    def whole_body(self) -> bytes | None:
        cycle = self._cycle
        if cycle.more_body or cycle.disconnected or not cycle.message_event.is_set():
            return None
        cycle.message_event.clear()  # as ``receive`` does: the next thing to hear of is that the client left
        body, cycle.body = bytes(cycle.body), bytearray()
        return body

    def respond(self, headers: Sequence[tuple[bytes, bytes]], body: bytes) -> bool:
        cycle = self._cycle
        if cycle.disconnected or cycle.response_started or not cycle.keep_alive:
            return False
        if cycle.flow.write_paused or cycle.scope["method"] == "HEAD":
            return False
        lines = [STATUS_LINE[200]]
        for name, value in (*cycle.default_headers, *headers):
            lines += (name, b": ", value, b"\r\n")
        lines += (b"\r\n", body)
        cycle.response_started = cycle.response_complete = True
        self._transport.write_whole(b"".join(lines))
        cycle.message_event.set()
        cycle.on_response()
        return True

    def has_left(self) -> None:
        """The connection is lost."""
        on_left = self._on_left
        self._let_go()
        if on_left is not None and not self._cycle.response_complete:
            on_left()

    def _answered(self) -> None:
        self._let_go()
        self._on_response()

    def _let_go(self) -> None:
        self._on_left = None
        self._cycle.scope.pop("extensions", None)


class HttpProtocol(HttpToolsProtocol):
    """What ``serving.py`` gives to uvicorn."""

    max_head_bytes = MAX_HEAD_BYTES
    head_timeout_s = HEAD_TIMEOUT_S
    _complaint: str | None = None
    _upgraded = False
    _piece = b""
    _head_bytes = 0
    _head_timer: asyncio.TimerHandle | None = None
    _linger_timer: asyncio.TimerHandle | None = None
    _linger_bytes = 0
    _peer: _CyclePeer | None = None
    _gathering: GatheringTransport

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client connected; its first request is expected soon."""
        self._gathering = GatheringTransport(transport, self.loop)
        super().connection_made(self._gathering)
        self._head_timer = self.loop.call_later(self.head_timeout_s, self._head_is_late)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client left."""
        self._head_is_whole()
        self._stop_lingering()
        super().connection_lost(exc)
        if self._peer is not None:
            self._peer.has_left()

    def data_received(self, data: bytes) -> None:
        """Some of a request came; what is not whole yet is watched."""
        if self._linger_timer is not None:
            self._linger_bytes += len(data)
            if self._linger_bytes > MAX_LINGER_BYTES:
                self.transport.close()
                return
        elif self.cycle is None or self.cycle.response_complete:
            data = _without_http_2_offer(data)
        before = self.scope
        self._piece = data
        super().data_received(data)
        self._piece = b""
        if self._upgraded:
            return
        if self.cycle is not None and self.cycle.scope is self.scope:
            if self._head_timer is not None or self._head_bytes:
                self._head_is_whole()
            return
        # Where a head begins within a piece is not known: the first piece does not count.
        self._head_bytes = self._head_bytes + len(data) if self.scope is before else 0
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(self.head_timeout_s, self._head_is_late)
        if self._head_bytes > self.max_head_bytes and not self.transport.is_closing():
            self.send_400_response(f"The request line and headers are longer than {self.max_head_bytes:,} bytes.")

    def on_body(self, body: bytes) -> None:
        """Some of a body came. What may be all of it is kept as it is: uvicorn copies it twice."""
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            held: bytes | bytearray = cycle.body
            if not held:
                cycle.body, body = body, b""  # type: ignore[assignment]
            elif isinstance(held, bytes):
                cycle.body = bytearray(held)
        super().on_body(body)

    def on_headers_complete(self) -> None:
        """A request's head came; one of HTTP/1.1 says once which host it means (RFC 9112, section 3.2).

        Its route gets a peer.
        """
        if self.parser.get_http_version() == "1.1" and [name for name, _ in self.headers].count(b"host") != 1:
            self._complaint = "An HTTP/1.1 request has a Host header, and only one."
            raise ValueError(self._complaint)  # the parser stops here, and asks for a 400
        before = self.cycle
        super().on_headers_complete()
        if self.cycle is not before:
            self._peer = _CyclePeer(self.cycle, self._gathering)

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no request, and say why where it is known."""
        super().send_400_response(self._complaint or msg)

    def _should_upgrade(self) -> bool:
        """Whether this request is a WebSocket's handshake; what cannot be one is answered as any other."""
        if self.scope["method"] != "GET" or self.parser.get_http_version() != "1.1":
            return False
        return super()._should_upgrade()

    def handle_websocket_upgrade(self) -> None:
        """Hand the connection to the WebSocket protocol; nothing of this one goes on."""
        if self.cycle is not None and not self.cycle.response_complete:
            self.send_400_response("A handshake has to wait for the response to the request before it.")
            return
        self._head_is_whole()
        self._stop_lingering()
        self._upgraded = True
        super().handle_websocket_upgrade()
        where = sys.exc_info()[1]  # what uvicorn was told: where in its piece the head ended
        rest = self._piece[where.args[0] :] if isinstance(where, httptools.HttpParserUpgrade) else b""
        if rest:  # a client that did not wait for our answer
            cast(asyncio.Protocol, self._gathering.protocol).data_received(rest)

    def on_response_complete(self) -> None:
        """A response was made; what still comes of its request is of no use."""
        cycle = self.cycle
        if cycle is not None and cycle.response_complete and cycle.more_body and self._linger_timer is None:
            self._linger_bytes = 0
            self._linger_timer = self.loop.call_later(LINGER_S, self.transport.close)
        super().on_response_complete()

    def on_message_complete(self) -> None:
        """A request's body is complete."""
        self._stop_lingering()
        super().on_message_complete()

    def _stop_lingering(self) -> None:
        if self._linger_timer is not None:
            self._linger_timer.cancel()
            self._linger_timer = None

    def _head_is_whole(self) -> None:
        self._head_bytes = 0
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_is_late(self) -> None:
        self._head_timer = None
        if not self.transport.is_closing():
            self.transport.close()


def _without_http_2_offer(data: bytes) -> bytes:
    """The piece that begins a request; only its head is looked at, as a photo behind it would take long."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        end = len(data)
    if data.find(b"h2c", 0, end) < 0:
        return data
    return _HTTP_2_OFFER.sub(b"\r\nx-ignored-upgrade:", data[:end]) + data[end:]
