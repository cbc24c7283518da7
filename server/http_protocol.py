"""uvicorn's HTTP/1.1 protocol, writing each response with one system call.

uvicorn writes the head and the body of a response one after the other, and the
event loop sends each at once: two system calls, two wake-ups of the client. Here
what is written in one turn of the loop leaves together at its end.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


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
        if len(waiting) == 1:
            self._transport.write(waiting[0])
        elif waiting:
            self._transport.write(b"".join(waiting))


class HttpProtocol(HttpToolsProtocol):
    """What ``serving.py`` gives to uvicorn."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client connected."""
        super().connection_made(GatheringTransport(transport, self.loop))
