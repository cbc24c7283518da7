"""One stream, from its first event to its close.

A reader takes the client's messages, a writer sends events, and whatever ends the stream
becomes one ``Close``: the first one wins. The reader stops while too much waits to be told,
and with policy ``all`` while too many frames are unanswered: the client's next message then
waits in the kernel, and the client with it.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from model_zoo.errors import ModelZooError
from model_zoo.magic import FORMATS
from server.batcher import Clock
from server.config import Config
from server.errors import DrainingError, ServingError, refusal_of
from server.exchange import Receive, Send
from server.metrics import Metrics
from server.streams.connection import Connection
from server.streams.control import parse_control
from server.streams.events import Event, Format
from server.streams.inflight import FrameModel
from server.streams.intake import Find, FrameTooLargeError, Intake
from server.streams.options import StreamOptions
from server.streams.tally import Tally
from server.streams.teller import Teller
from server.tracing.contracts import FrameTraces

log = logging.getLogger("quickeye.streams")

FLUSH_S = 1.0  # for the last events of a stream that the server ends
CLOSE_S = 2.0  # and for its client to answer the close


@dataclass(frozen=True, slots=True)
class Close:
    """How a stream ends. ``polite``: frames in flight are answered, within ``timeout_s``, and ``stats`` told, first."""

    code: int
    reason: str = ""
    polite: bool = False
    timeout_s: float | None = None


@dataclass(frozen=True, slots=True)
class Wire:
    """The client's end: ASGI's two calls, how events are written, and the connection below."""

    receive: Receive
    send: Send
    format: Format
    connection: Connection


class Session:
    """Serves one accepted WebSocket. ``model`` answers now; ``find`` gives the model of a name at any time.

    ``frames`` begins the traces of its frames, where there are any.
    """

    def __init__(
        self,
        name: str,
        wire: Wire,
        options: StreamOptions,
        config: Config,
        metrics: Metrics,
        model: FrameModel,
        find: Find,
        clock: Clock = time.monotonic,
        frames: FrameTraces | None = None,
    ) -> None:
        self.name = name
        self.tally = Tally(metrics, model.spec.name, clock)
        self._clock = clock
        self._wire = wire
        self._config = config
        self._teller = Teller(self.tally, config.max_frame_age_ms / 1e3, clock)
        self._intake = Intake(options, config, metrics, find, self._teller, frames)
        self.given_up = 0
        self._receiving = False
        self._verdict: asyncio.Future[Close] = asyncio.get_running_loop().create_future()
        self._teller.say(_ready(name, model, options, config))

    @property
    def model(self) -> str:
        """The name of who answers."""
        return self.tally.model

    async def serve(self) -> Close:
        """Talk to the client until something ends the stream; returns what did."""
        loop = asyncio.get_running_loop()
        write = self._teller.write(self._wire.send, self._wire.format)
        reader, *others = (
            loop.create_task(self._guarded(work)) for work in (self._read(), write, self._wait_until_lost())
        )
        try:
            close = await self._verdict
            self._teller.outbox.moved.set()
            if self._receiving:
                reader.cancel()
            await asyncio.wait((reader,))
            await self._unless_lost(self._finish(close))
            return close
        finally:
            for task in (reader, *others):
                task.cancel()
            await asyncio.gather(reader, *others, return_exceptions=True)
            self._intake.inflight.abandon()
            self.tally.closed()

    def drain(self, timeout_s: float) -> None:
        """The server ends."""
        self._conclude(Close(1001, "the server is stopping", polite=True, timeout_s=timeout_s))

    def _conclude(self, close: Close) -> None:
        if not self._verdict.done():
            self._verdict.set_result(close)

    async def _guarded(self, work: Awaitable[None]) -> None:
        """A part of the stream: what goes wrong in it ends the stream, and nothing else."""
        try:
            await work
        except OSError:  # the client is gone
            self._conclude(Close(self._wire.connection.close_code))
        except Exception:
            log.exception("stream %s failed", self.name)
            self._conclude(Close(1011, "a fault on our side; the server's log has it under the session's name"))

    async def _wait_until_lost(self) -> None:
        await self._wire.connection.lost.wait()
        self._conclude(Close(self._wire.connection.close_code))

    # What the client says.

    async def _read(self) -> None:
        while not self._verdict.done():
            self._receiving = True
            message = await self._wire.receive()
            self._receiving = False
            await self._while(lambda: self._teller.outbox.full)
            if message["type"] == "websocket.disconnect":
                self._conclude(Close(message.get("code", 1006)))
            elif message.get("bytes") is not None:
                await self._frame(message["bytes"])
            else:
                self._control(message["text"])

    async def _while(self, waits: Callable[[], bool]) -> None:
        """Wait until events have left; not when the stream ends, which must not lose the message at hand."""
        while waits() and not self._verdict.done():
            await self._teller.outbox.next_move()

    async def _frame(self, data: bytes) -> None:
        received_s = self._clock()
        self._teller.expect(len(data))
        if self._intake.options.policy == "all":
            await self._while(lambda: self._teller.unanswered > self._config.max_stream_inflight)
        try:
            self._intake.take(data, received_s)
        except FrameTooLargeError as error:
            self._conclude(Close(1009, str(error)))

    def _control(self, text: str) -> None:
        """A text message: answered, or refused with an ``error``."""
        try:
            message = parse_control(text)
            kind = message.pop("type")
            if kind == "config":
                self._intake.configure(message)
            elif kind == "ping":
                self._teller.say({"type": "pong", **message})
            elif kind == "stats":
                self._teller.stats()
            else:
                self._conclude(Close(1000, "as asked", polite=True))
        except (ServingError, ModelZooError) as error:
            self._teller.refuse_message(refusal_of(error))

    # The end.

    async def _finish(self, close: Close) -> None:
        if close.polite:
            await self._settle(close)
        await self._wire.send({"type": "websocket.close", "code": close.code, "reason": close.reason})
        if close.code == 1001:  # the server goes as soon as all streams have: let the client read its last words
            async with asyncio.timeout(CLOSE_S):
                await self._wire.connection.lost.wait()

    async def _settle(self, close: Close) -> None:
        """Answer what is in flight, then tell the counts."""
        try:
            async with asyncio.timeout(close.timeout_s):
                await self._intake.inflight.idle.wait()
        except TimeoutError:
            error = DrainingError("the server stopped before this frame was answered")
            self.given_up = self._intake.inflight.give_up(error)
        self._teller.stats()
        async with asyncio.timeout(None if close.timeout_s is None else FLUSH_S):
            while not self._teller.outbox.empty:
                await self._teller.outbox.next_move()

    async def _unless_lost(self, work: Awaitable[None]) -> None:
        """Do this while the connection lasts; end the connection when it takes too long."""
        connection = self._wire.connection
        lost = asyncio.ensure_future(connection.lost.wait())
        doing = asyncio.ensure_future(work)
        try:
            await asyncio.wait((lost, doing), return_when=asyncio.FIRST_COMPLETED)
        finally:
            lost.cancel()
            doing.cancel()
            _, outcome = await asyncio.gather(lost, doing, return_exceptions=True)
        if isinstance(outcome, TimeoutError):  # the client does not read
            connection.abort()
        elif isinstance(outcome, Exception) and not isinstance(outcome, OSError):
            raise outcome


def _ready(name: str, model: FrameModel, options: StreamOptions, config: Config) -> Event:
    return {
        "type": "ready",
        "model": model.spec.name,
        "version": model.spec.version,
        "session": name,
        "options": options.effective(),
        "limits": {
            "max_frame_bytes": config.max_frame_bytes,
            "max_inflight": config.max_stream_inflight,
            "max_frame_age_ms": config.max_frame_age_ms,
            "formats": list(FORMATS),
        },
    }
