"""A stream of frames on the caller's event loop.

Two tasks own the socket: one writes what the window lets out, one reads
events, which free the window. In between stands the caller: ``send`` fills
the window's slot, iteration empties the queue of events. That queue is
bounded; while it is full nothing is read, so nothing is sent either, and
``send`` says that events must be read.
"""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar, Unpack

from server.client.changes import Changes
from server.client.connection import closed_by, open_connection
from server.client.errors import RefusedError, StreamClosedError, TimedOutError, UnexpectedReplyError
from server.client.events import ConfigChanged, Event, FrameError, Ready, Stats
from server.client.message import event_in
from server.client.pixels import Frame, encoded
from server.client.stream_state import StreamState
from server.client.stream_target import StreamOptions, StreamTarget

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

Asked = TypeVar("Asked", ConfigChanged, Stats)


class AsyncStream:
    """A stream, made by ``AsyncClient.stream`` and open inside its ``async with``.

    ::

        async with client.stream(policy="all") as stream:
            await stream.send(Path("photo.jpg").read_bytes())
            stats = await stream.end()
            print([event async for event in stream])

    One task may send while another iterates. Iteration gives every event, first ``Ready``, last ``Stats``,
    and stops after a good end; a stream that ended otherwise raises ``StreamClosedError`` there.
    """

    ready: Ready

    def __init__(self, target: StreamTarget, clock: Callable[[], float] = time.monotonic) -> None:
        self._target = target
        self._clock = clock
        self._changes = Changes()
        self._controlling = asyncio.Lock()
        self._open: tuple[ClientConnection, StreamState] | None = None
        self._tasks: tuple[asyncio.Task[None], ...] = ()

    async def __aenter__(self) -> Self:
        if self._open is not None:
            raise RuntimeError("a stream is opened once: make another with client.stream()")
        target = self._target
        socket = await open_connection(target)
        try:
            self.ready = await self._first_event(socket)
            state = StreamState(self.ready, target.max_inflight, target.max_unread)
        except BaseException:
            await socket.close()
            raise
        self._open = socket, state
        self._tasks = asyncio.create_task(self._write(socket, state)), asyncio.create_task(self._read(socket, state))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        socket, state = self._opened()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if kind is not None and issubclass(kind, asyncio.CancelledError):  # no time for a polite goodbye
            socket.transport.abort()
        await socket.close()
        if state.over is None:
            unanswered = state.window.unanswered()
            state.over = StreamClosedError("the stream was closed here", close_code=1000, unanswered=unanswered)
        self._changes.announce()

    async def send(self, frame: Frame, captured_at: float | None = None) -> int:
        """Send a picture; returns its number, which its one event will bear as ``seq``.

        Under ``latest`` this never waits: a frame that has not left yet is replaced by this one. Under ``all`` it
        waits until fewer than ``max_inflight`` frames are without an event.

        Args:
            frame: a picture in one of ``ready.limits.formats``, or an array of pixels.
            captured_at: seconds of any clock of yours, echoed in the event; ``time.time()`` if None.
        Raises:
            FrameTooLargeError: not sent, the stream goes on.
            UnreadEventsError: nobody reads the events.
            StreamClosedError: the stream is over. TimedOutError: no room for a frame in time.
            TypeError: it is neither bytes nor an array of uint8.
        """
        _, state = self._opened()
        state.must_be_open()
        at = time.time() if captured_at is None else captured_at
        data = encoded(frame)
        state.must_fit(data, at)
        if state.window.newest_wins:
            state.must_be_read()
        else:
            await self._room(state)
        seq = state.put(data, at)
        self._changes.announce()
        return seq

    async def receive(self, timeout_s: float | None = None) -> Event | None:
        """The next event; None when none came in time, or after the last one of a stream that ended well.

        Raises:
            StreamClosedError: the stream is over, and every event was read.
        """
        _, state = self._opened()
        with contextlib.suppress(TimeoutError):
            await self._changes.until(lambda: bool(state.events) or state.over is not None, timeout_s)
        return self.take()

    def take(self) -> Event | None:
        """An event that has come already; None when there is none, or after the last one of a good end.

        Raises:
            StreamClosedError: the stream is over, and every event was read.
        """
        _, state = self._opened()
        if state.events:
            event = state.events.popleft()
            self._changes.announce()
            return event
        if state.over is not None and not state.ended_well:
            raise state.over
        return None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        event = await self.receive()
        if event is None:
            raise StopAsyncIteration
        return event

    async def configure(self, **changes: Unpack[StreamOptions]) -> ConfigChanged:
        """Change options, for frames that the server gets from now on; also an event, at its place among the others.

        Raises:
            RefusedError: nothing was changed. StreamClosedError, TimedOutError.
        """
        return await self._ask({"type": "config", **changes}, ConfigChanged)

    async def stats(self) -> Stats:
        """What the server counted so far.

        Raises:
            RefusedError, StreamClosedError, TimedOutError.
        """
        return await self._ask({"type": "stats"}, Stats)

    async def end(self) -> Stats:
        """Send what waits, let the server answer all of it, and close; events can be read afterwards.

        Raises:
            StreamClosedError, TimedOutError.
        """
        socket, state = self._opened()
        state.must_be_open()
        state.ending = True
        async with self._in_time("the rest of the stream"):
            await self._changes.until(lambda: not state.window.is_waiting or state.over is not None)
            await self._say(socket, {"type": "end"})
            await self._changes.until(lambda: state.over is not None)
        if state.final is None or not state.ended_well:
            raise state.reason
        return state.final

    async def _ask(self, message: dict[str, object], kind: type[Asked]) -> Asked:
        socket, state = self._opened()
        async with self._controlling, self._in_time(f"'{message['type']}'"):
            state.must_be_open()
            state.asked, state.answer = kind, None
            try:
                await self._say(socket, message)
                await self._changes.until(lambda: state.answer is not None or state.over is not None)
            finally:
                state.asked = None
        if isinstance(state.answer, kind):
            return state.answer
        if isinstance(state.answer, FrameError):
            raise RefusedError(state.answer.message, status=None, code=state.answer.code)
        raise state.reason

    async def _say(self, socket: "ClientConnection", message: dict[str, object]) -> None:
        from websockets.exceptions import ConnectionClosed

        with contextlib.suppress(ConnectionClosed):  # the reading task says why
            await socket.send(json.dumps(message))

    async def _room(self, state: StreamState) -> None:
        try:
            await self._changes.until(lambda: state.window.has_room or state.over is not None, self._answer_s)
        except TimeoutError:
            state.must_be_read()
            raise TimedOutError(f"no frame was answered within {self._answer_s:g} s") from None
        state.must_be_open()

    async def _first_event(self, socket: "ClientConnection") -> Ready:
        from websockets.exceptions import ConnectionClosed

        try:
            async with asyncio.timeout(self._target.timeouts.open_s):
                event = event_in(await socket.recv())
        except TimeoutError:
            raise TimedOutError(f"the server did not say 'ready' within {self._target.timeouts.open_s:g} s") from None
        except ConnectionClosed as closed:
            raise closed_by(closed, ()) from None
        if not isinstance(event, Ready):
            raise UnexpectedReplyError("the first message is not 'ready': is this a Quickeye server?")
        return event

    async def _write(self, socket: "ClientConnection", state: StreamState) -> None:
        from websockets.exceptions import ConnectionClosed

        with contextlib.suppress(ConnectionClosed):  # the reading task says why
            while True:
                await self._changes.until(lambda: state.window.can_send)
                frame = state.window.take(self._clock())
                self._changes.announce()
                await socket.send(frame.message)

    async def _read(self, socket: "ClientConnection", state: StreamState) -> None:
        from websockets.exceptions import ConnectionClosed

        try:
            while True:
                await self._changes.until(lambda: state.may_read)
                event = event_in(await socket.recv())
                if event is not None:
                    state.heard(event, self._clock())
                    self._changes.announce()
        except ConnectionClosed as closed:
            state.over = state.over or closed_by(closed, state.window.unanswered())
        except UnexpectedReplyError as error:
            state.over = error
        self._changes.announce()

    @contextlib.asynccontextmanager
    async def _in_time(self, what: str) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._answer_s):
                yield
        except TimeoutError:
            raise TimedOutError(f"the server did not answer {what} within {self._answer_s:g} s") from None

    @property
    def _answer_s(self) -> float:
        return self._target.timeouts.answer_s

    def _opened(self) -> "tuple[ClientConnection, StreamState]":
        if self._open is None:
            raise RuntimeError("the stream is not open: use it inside 'with client.stream() as stream:'")
        return self._open
