"""A transport whose writes of one turn of the event loop leave together.

uvicorn writes the head and the body of a response one after the other, and the
event loop sends each at once: two system calls, two wake-ups of the client. Here
what is written in one turn of the loop leaves together at its end.
"""

import asyncio
from typing import Any

MAX_GATHERED_BYTES = 64 * 1024


class GatheringTransport(asyncio.Transport):
    """A transport that gathers what is written within one turn of the loop.

    ``abort_after_s``: when it is closed, how long what is written may take to leave; None: as long as it likes.
    ``protocol``: who took the connection over, if somebody did.
    """

    abort_after_s: float | None = None
    protocol: asyncio.BaseProtocol | None = None

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._transport = transport
        self._loop = loop
        self._waiting: list[Any] = []
        self._gathered = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send at the end of this turn, or now when it is much."""
        if not self._waiting:
            self._loop.call_soon(self._flush)
        self._waiting.append(data)
        self._gathered += len(data)
        if self._gathered > MAX_GATHERED_BYTES:  # whoever writes on and on must be told when nobody reads
            self._flush()

    def write_whole(self, data: bytes) -> None:
        """Send now what is complete, or with what waits: nothing more of it will come."""
        if self._waiting:
            self.write(data)
        elif not self._transport.is_closing():
            self._transport.write(data)

    def close(self) -> None:
        """Send what waits, then close."""
        self._flush()
        self._transport.close()
        if self.abort_after_s is not None:
            self._loop.call_later(self.abort_after_s, self._transport.abort)

    def write_eof(self) -> None:
        """Send what waits, then say that nothing more will come."""
        self._flush()
        if not self._transport.is_closing():
            self._transport.write_eof()

    def abort(self) -> None:
        """Close at once; what waits is lost."""
        self._waiting, self._gathered = [], 0
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

    def get_write_buffer_size(self) -> int:
        """Bytes that wait to be sent."""
        return self._gathered + self._transport.get_write_buffer_size()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Hand the connection to another protocol, as WebSocket upgrades do."""
        self._flush()
        self.protocol = protocol
        self._transport.set_protocol(protocol)

    def get_extra_info(self, name: str, default: Any = None) -> Any:  # noqa: ANN401 (as asyncio has it)
        """Addresses and the socket, from the transport below."""
        return self._transport.get_extra_info(name, default)

    def _flush(self) -> None:
        waiting, self._waiting, self._gathered = self._waiting, [], 0
        if self._transport.is_closing():  # the client left within this turn; uvloop refuses to write to it
            return
        if len(waiting) == 1:
            self._transport.write(waiting[0])
        elif waiting:
            self._transport.write(b"".join(waiting))
