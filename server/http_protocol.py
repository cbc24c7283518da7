"""uvicorn's HTTP/1.1 protocol, writing each response with one system call, and bounded where uvicorn's is not.

uvicorn writes the head and the body of a response one after the other, and the
event loop sends each at once: two system calls, two wake-ups of the client. Here
what is written in one turn of the loop leaves together at its end.

A client may offer to go on in HTTP/2 (``Upgrade: h2c``, as Java's and curl's do). The
offer may be ignored, but the parser would stop at it and lose the body: it is renamed
before the parser sees it.

A body that nobody reads, of a call that was refused or takes none, is thrown away as it
comes, for ``LINGER_S`` and ``MAX_LINGER_BYTES`` at most; then the connection ends.

A request's head (its line and headers) may be as long as it likes in uvicorn, and
take for ever to come. Here it has ``MAX_HEAD_BYTES`` after its first piece (what one
read of the socket gave, at most 256 KiB) and ``HEAD_TIMEOUT_S``.
"""

import asyncio
import re
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD_BYTES = 64 * 1024
HEAD_TIMEOUT_S = 30.0
LINGER_S = 5.0
MAX_LINGER_BYTES = 2**20

_HTTP_2_OFFER = re.compile(rb"\r\nupgrade:(?=[ \t]*h2c)", re.IGNORECASE)


class GatheringTransport(asyncio.Transport):
    """A transport that gathers what is written within one turn of the loop."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._transport = transport
        self._loop = loop
        self._waiting: list[Any] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send at the end of this turn."""
        if not self._waiting:
            self._loop.call_soon(self._flush)
        self._waiting.append(data)

    def close(self) -> None:
        """Send what waits, then close."""
        self._flush()
        self._transport.close()

    def abort(self) -> None:
        """Close at once; what waits is lost."""
        self._waiting.clear()
        self._transport.abort()

    def is_closing(self) -> bool:
        """Whether the connection ends."""
        return self._transport.is_closing()

    def pause_reading(self) -> None:
        """Let the client's bytes wait in the kernel."""
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Take the client's bytes again."""
        self._transport.resume_reading()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Hand the connection to another protocol, as WebSocket upgrades do."""
        self._flush()
        self._transport.set_protocol(protocol)

    def get_extra_info(self, name: str, default: Any = None) -> Any:  # noqa: ANN401 (as asyncio has it)
        """Addresses and the socket, from the transport below."""
        return self._transport.get_extra_info(name, default)

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        if self._transport.is_closing():  # the client left within this turn; uvloop refuses to write to it
            return
        if len(waiting) == 1:
            self._transport.write(waiting[0])
        elif waiting:
            self._transport.write(b"".join(waiting))


class HttpProtocol(HttpToolsProtocol):
    """What ``serving.py`` gives to uvicorn."""

    max_head_bytes = MAX_HEAD_BYTES
    head_timeout_s = HEAD_TIMEOUT_S
    _head_bytes = 0
    _head_timer: asyncio.TimerHandle | None = None
    _linger_timer: asyncio.TimerHandle | None = None
    _linger_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client connected; its first request is expected soon."""
        super().connection_made(GatheringTransport(transport, self.loop))
        self._head_timer = self.loop.call_later(self.head_timeout_s, self._head_is_late)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client left."""
        self._head_is_whole()
        self._stop_lingering()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Some of a request came; what is not whole yet is watched."""
        if self._linger_timer is not None:
            self._linger_bytes += len(data)
            if self._linger_bytes > MAX_LINGER_BYTES:
                self.transport.close()
                return
        elif b"h2c" in data and (self.cycle is None or self.cycle.response_complete):
            head, end, rest = data.partition(b"\r\n\r\n")
            data = _HTTP_2_OFFER.sub(b"\r\nx-ignored-upgrade:", head) + end + rest
        before = self.scope
        super().data_received(data)
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
