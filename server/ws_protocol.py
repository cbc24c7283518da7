"""uvicorn's WebSocket protocol, bounded where uvicorn's is not.

uvicorn reads one message at a time: the next one waits in the kernel until the
application has taken the last. Here, besides:

- A client that does not read: once 64 KiB of ours wait for it, and as much in the kernel
  (which would take megabytes), nothing of it is read either, and after ``send_timeout_s``
  the connection is aborted. uvicorn would go on answering its pings, in memory.
- What one read of the socket brought is parsed ``FRAMES_PER_TURN`` frames at a time, one turn
  of the loop after the other: 256 KiB can hold 40,000 frames.
- A message in many fragments is gathered in one piece of memory, not in a list.
- A broken rule is told with a close frame, and what still comes is thrown away for
  ``LINGER_S``: closing at once would make the kernel reset the connection, and the client
  might never see why.
- A client that sends is alive, even when its pong stands behind megabytes of pictures.
- At the end of the server nobody is waited for who does not read.

The application finds the connection in ``scope["extensions"]["quickeye.connection"]``, see
``streams/connection.py``.
"""

import asyncio
import logging
import socket
from collections.abc import Generator
from typing import Any, cast

import orjson
import uvicorn
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.frames import Frame
from websockets.http11 import Request, Response
from websockets.server import ServerProtocol
from websockets.streams import StreamReader

from server.gathering_transport import GatheringTransport
from server.streams.connection import EXTENSION

FRAMES_PER_TURN = 64
KERNEL_BYTES = 64 * 1024  # events are small, and what waits in the kernel only grows old
SEND_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 5.0  # for the client's half of the closing handshake
LINGER_S = 5.0
FLUSH_S = 1.0  # for bytes that are written when the connection is closed


class _StoppingReader(StreamReader):
    """Bytes to be parsed. ``held``: the parser was stopped, and there may be more in them."""

    def __init__(self) -> None:
        super().__init__()
        self.held = False
        self._frames = 0

    def at_eof(self) -> Generator[None, None, bool]:
        """Asked by the parser before each frame, so this is where it can be stopped."""
        self._frames += 1
        if self._frames > FRAMES_PER_TURN:
            self.held, self._frames = True, 0
            yield
            self.held = False
        return (yield from super().at_eof())

    def new_turn(self) -> None:
        """Begin to count again."""
        self._frames = 0


class _Grammar(ServerProtocol):
    """The library's parser, stopped in time; refusals of a handshake that is none come in the form of ``/v1``."""

    def __init__(self, max_size: int) -> None:
        super().__init__(max_size=max_size, logger=logging.getLogger("uvicorn.error"))
        self.reader: _StoppingReader = _StoppingReader()
        self.parser = self.parse()
        next(self.parser)  # as the library does: it runs until it wants bytes

    def reject(self, status: Any, text: str) -> Response:  # noqa: ANN401 (as websockets has it)
        """An HTTP response for what cannot become a WebSocket."""
        response = super().reject(status, text)
        code = "internal" if response.status_code == 500 else "invalid_request"
        body = orjson.dumps({"error": {"code": code, "message": text.strip(), "request_id": ""}})
        del response.headers["Content-Type"], response.headers["Content-Length"]
        response.headers["Content-Type"] = "application/json"
        response.headers["Content-Length"] = str(len(body))
        response.body = body
        return response


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """What ``serving.py`` gives to uvicorn. One per connection, made when its handshake has come."""

    send_timeout_s = SEND_TIMEOUT_S

    def __init__(self, config: uvicorn.Config, server_state: ServerState, app_state: dict[str, Any]) -> None:
        super().__init__(config, server_state, app_state)
        self.lost = asyncio.Event()
        self.close_code = 1006
        self.close_timeout = CLOSE_TIMEOUT_S
        self.conn: _Grammar = _Grammar(config.ws_max_size)
        self._arrived = b""
        self._message = bytearray()
        self._heard = False
        self._failed = False
        self._unread_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The HTTP protocol hands its connection over."""
        if isinstance(transport, GatheringTransport):
            transport.abort_after_s = FLUSH_S
        sock = transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, KERNEL_BYTES)
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self._stop_waiting_for_reader()
        self._lose(1006)
        super().connection_lost(exc)

    def eof_received(self) -> None:
        """The client sends nothing more: it left."""
        self._lose(1006)

    def abort(self) -> None:
        """End the connection; what was not sent is lost."""
        self.transport.abort()

    # Reading.

    def data_received(self, data: bytes) -> None:
        """Some bytes came."""
        self._heard = True
        if self._failed:
            return
        self._arrived += data
        self._parse()

    def _parse(self) -> None:
        """Parse some of what arrived, if the application is ready for it; the rest in another turn."""
        reader = self.conn.reader
        if self._ready and (self._arrived or reader.held):
            reader.new_turn()
            arrived, self._arrived = self._arrived, b""
            super().data_received(arrived)
            if not self.handshake_initiated and self.conn.handshake_exc is not None:
                self._refuse_handshake()
            elif reader.held:
                self.loop.call_soon(self._parse)
        self._steer()

    @property
    def _ready(self) -> bool:
        return not self._failed and (self.close_sent or (self.queue.empty() and self.writable.is_set()))

    def _steer(self) -> None:
        """Read the socket, or let the client's bytes wait in the kernel."""
        paused = not self._failed and (self.conn.reader.held or not self._ready)
        if paused == self.read_paused or self.transport.is_closing():
            return
        self.read_paused = paused
        if paused:
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()

    async def receive(self) -> Any:  # noqa: ANN401 (as uvicorn has it)
        """The next message for the application."""
        message = await self.queue.get()
        self._parse()
        return message

    async def send(self, message: Any) -> None:  # noqa: ANN401 (as uvicorn has it)
        """A message of the application; waits while the client does not read."""
        await self.writable.wait()
        if self.lost.is_set():
            raise ClientDisconnected
        await super().send(message)
        if self.close_sent:
            self.handshake_complete = True  # a refusal completes it too
            self._parse()

    # Messages.

    def handle_connect(self, event: Request) -> None:
        """The handshake came; the application decides."""
        super().handle_connect(event)
        if not self.close_sent:
            cast("dict[str, object]", self.scope["extensions"])[EXTENSION] = self

    def _refuse_handshake(self) -> None:
        """A head that HTTP's parser takes and WebSocket's does not."""
        waiting = b"".join(self.conn.data_to_send())
        refusal = self.conn.reject(400, "the handshake cannot be understood")
        self.transport.write(waiting or refusal.serialize())
        self._failed = self.close_sent = True
        self.transport.close()

    def handle_text(self, event: Frame) -> None:
        """Text, or its first fragment."""
        self.curr_msg_data_type = "text"
        self._gather(event)

    def handle_bytes(self, event: Frame) -> None:
        """Binary, or its first fragment."""
        self.curr_msg_data_type = "bytes"
        self._gather(event)

    def handle_cont(self, event: Frame) -> None:
        """Another fragment."""
        self._gather(event)

    def _gather(self, event: Frame) -> None:
        if self.close_sent:  # nobody takes messages any more
            return
        if event.fin and not self._message:
            self._deliver(bytes(event.data))
            return
        self._message += event.data
        if event.fin:
            whole, self._message = bytes(self._message), bytearray()
            self._deliver(whole)

    def _deliver(self, data: bytes) -> None:
        if self.curr_msg_data_type == "bytes":
            self.queue.put_nowait({"type": "websocket.receive", "bytes": data})
            return
        try:
            self.queue.put_nowait({"type": "websocket.receive", "text": data.decode()})
        except UnicodeDecodeError:
            self.conn.fail(1007, "text that is not UTF-8")
            self.handle_parser_exception()

    # Endings.

    def handle_close(self, event: Frame) -> None:
        """The client closes, or answers our close."""
        super().handle_close(event)
        if self.conn.close_rcvd is not None:
            self._lose(self.conn.close_rcvd.code)

    def handle_parser_exception(self) -> None:
        """A rule of the wire was broken: say so, listen no more, and let the client read it."""
        if self._failed:
            return
        self._failed = self.close_sent = True
        self._arrived, self._message = b"", bytearray()
        sent = self.conn.close_sent
        self._lose(1006 if sent is None else sent.code)
        self.queue.put_nowait({"type": "websocket.disconnect", "code": self.close_code})
        self.stop_keepalive()
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.transport.write_eof()
        self.close_timer = self.loop.call_later(LINGER_S, self.transport.abort)

    def _lose(self, code: int) -> None:
        if not self.lost.is_set():
            self.close_code = code
            self.lost.set()

    def shutdown(self) -> None:
        """The server ends. Streams were closed before this; whoever is left is told the same."""
        if not self.handshake_complete:
            super().shutdown()
            return
        self.stop_keepalive()
        if not self.close_sent:
            self.close_sent = True
            self.conn.send_close(1001)
            self.transport.write(b"".join(self.conn.data_to_send()))
        self._lose(1001)
        self.transport.close()

    # A client that does not read, and one that is gone without a word.

    def pause_writing(self) -> None:
        """The client does not read what it is sent."""
        super().pause_writing()
        self._watch_reader()
        self._steer()

    def resume_writing(self) -> None:
        """It reads again."""
        self._stop_waiting_for_reader()
        super().resume_writing()
        self._parse()

    def _watch_reader(self) -> None:
        unsent = self.transport.get_write_buffer_size()
        self._unread_timer = self.loop.call_later(self.send_timeout_s, self._end_unread, unsent)

    def _end_unread(self, unsent_then: int) -> None:
        self._unread_timer = None
        if self.transport.get_write_buffer_size() < unsent_then:  # slow, but it reads
            self._watch_reader()
            return
        self._lose(1008)
        self.transport.abort()

    def _stop_waiting_for_reader(self) -> None:
        if self._unread_timer is not None:
            self._unread_timer.cancel()
            self._unread_timer = None

    def send_keepalive_ping(self) -> None:
        """Ask whether somebody is there."""
        self._heard = False
        super().send_keepalive_ping()

    def keepalive_timeout(self) -> None:
        """No pong came in time. Anything else from the client is as good, and so is our not reading."""
        if (self._heard or self.read_paused) and not self.close_sent:
            self._heard = False
            self.pong_timer = self.loop.call_later(self.ping_timeout or 0.0, self.keepalive_timeout)
            return
        super().keepalive_timeout()
        self._lose(1011)
