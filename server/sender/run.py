"""``quickeye stream`` without its flags and its screen: frames in, events out, across lost connections.

Three tasks: one feeds frames from the source into the outbox, one sends them
over the connection of the moment, one reads its events. When a connection is
lost, what it had not answered is sent again under ``all``, and counted as lost
under ``latest``; the next attempt comes after a growing pause, until patience
ends. A refusal that will not pass (a key, a model) ends the run at once.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterable, Callable
from dataclasses import dataclass, replace

from server.client import (
    AsyncClient,
    AsyncStream,
    Backoff,
    ClientError,
    Dropped,
    Event,
    FrameError,
    FrameTooLargeError,
    Ready,
    Result,
    StreamClosedError,
    Timeouts,
)
from server.client.stream_target import PATIENT, StreamOptions
from server.sender.outbox import Outbox
from server.sender.sources import Frame, SourceError
from server.sender.tally import CONNECTION_LOST, NOT_CONNECTED, StreamTally

# After Ctrl-C, what is under way may take this long.
STOP_WITHIN_S = 5.0
# The last attempt before patience ends may take this long.
LEAST_OPEN_S = 1.0
# A live picture should be back soon; a random pause of up to four seconds spreads a thousand clients well enough.
RECONNECTING = Backoff(most_s=4.0)


@dataclass(frozen=True, slots=True)
class Reconnecting:
    """The connection could not be made, or was lost; the next attempt comes in ``pause_s``."""

    reason: str
    pause_s: float
    attempt: int


@dataclass(frozen=True, slots=True)
class Lost:
    """A frame that got no event: the connection was not there, or broke."""

    reason: str


Told = Event | Reconnecting | Lost
Tell = Callable[[Told, Frame | None], None]


@dataclass(frozen=True, slots=True)
class StreamPlan:
    """What to stream, and for how long.

    ``seconds`` count from the first connection; ``patience_s`` from the first attempt, or from when it was lost.
    """

    options: StreamOptions
    seconds: float | None = None
    frames: int | None = None
    patience_s: float = 30.0
    max_inflight: int | None = None
    backoff: Backoff = RECONNECTING
    timeouts: Timeouts = PATIENT


class StreamRun:
    """One run.

    Args:
        feed: the frames; an error in a frame's place is counted, one that is raised ends the run.
        tell: hears every event, with the frame that it is about.
    """

    def __init__(
        self,
        client: AsyncClient,
        plan: StreamPlan,
        feed: AsyncIterable[Frame | SourceError],
        tally: StreamTally,
        tell: Tell,
    ) -> None:
        self._client = client
        self._plan = plan
        self._feed = feed
        self._tally = tally
        self._tell = tell
        self._lossless = plan.options.get("policy") == "all"
        self._outbox = Outbox(newest_wins=not self._lossless, replaced=lambda frame: self._lose(frame, NOT_CONNECTED))
        self._begun = asyncio.Event()
        self._again: deque[Frame] = deque()  # to be sent before what the outbox holds
        self._under_way: dict[int, Frame] = {}  # by the number on this connection
        self._feeding: asyncio.Task[None] | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._is_connected = False
        self._failing_since_s: float | None = None
        self._attempt = 0
        self.stopped = False

    async def run(self) -> None:
        """Until the source ends, the plan is fulfilled, or ``stop``.

        Raises:
            ClientError: the server refused, or was not reached again in time.
            SourceError: the source failed; what it gave before was sent.
        """
        loop = asyncio.get_running_loop()
        self._feeding = loop.create_task(self._fill())
        self._connecting = loop.create_task(self._keep_connected())
        try:
            await self._connecting
        except asyncio.CancelledError:
            if not self.stopped:
                raise
        finally:
            self._feeding.cancel()
            (failure,) = await asyncio.gather(self._feeding, return_exceptions=True)
        if isinstance(failure, Exception):
            raise failure

    def stop(self) -> None:
        """Read no more, let the server answer what is under way, and end; at once when called again."""
        again, self.stopped = self.stopped, True
        if self._feeding is None or self._connecting is None:
            return
        self._feeding.cancel()
        self._outbox.close(discard=True)
        self._again.clear()
        if again or not self._is_connected:
            self._connecting.cancel()
        else:
            asyncio.get_running_loop().call_later(STOP_WITHIN_S, self._connecting.cancel)

    async def _fill(self) -> None:
        try:
            await self._begun.wait()
            if self._plan.seconds is not None and self._feeding is not None:
                asyncio.get_running_loop().call_later(self._plan.seconds, self._feeding.cancel)
            async for frame in self._feed:
                if isinstance(frame, SourceError):
                    self._tally.read(0)
                    self._failed(None, "unreadable_file", str(frame))
                else:
                    await self._outbox.put(frame)
                    self._tally.read(len(frame.data))
                if self._tally.frames == self._plan.frames:
                    return
        finally:
            self._outbox.close()

    async def _keep_connected(self) -> None:
        while (error := await self._connected()) is not None:
            self._lost_connection()
            if self.stopped or (self._outbox.is_done and not self._again):
                return
            await self._pause(error)

    async def _connected(self) -> ClientError | None:
        """One connection, from its handshake to its end; None: it ended well."""
        began_s = asyncio.get_running_loop().time()
        error: ClientError | None = None
        unsaid: OSError | None = None
        plan = self._plan
        try:
            async with (
                self._client.stream(
                    timeouts=self._timeouts(began_s), max_inflight=plan.max_inflight, **plan.options
                ) as stream,
                asyncio.TaskGroup() as group,
            ):
                self._is_connected = True
                self._begun.set()
                group.create_task(self._send_all(stream))
                async for event in stream:
                    self._hear(event)
        except* ClientError as errors:
            error = next(each for each in errors.exceptions if isinstance(each, ClientError))
        except* OSError as errors:  # nobody reads what is told
            unsaid = next(each for each in errors.exceptions if isinstance(each, OSError))
        if self._failing_since_s is None:
            self._failing_since_s = asyncio.get_running_loop().time() if self._is_connected else began_s
        self._is_connected = False
        if unsaid is not None:
            raise unsaid
        return error

    async def _send_all(self, stream: AsyncStream) -> None:
        try:
            while (frame := self._again.popleft() if self._again else await self._outbox.take()) is not None:
                await self._send(stream, frame)
            await stream.end()
        except StreamClosedError:
            return  # the one who reads the events is told

    async def _send(self, stream: AsyncStream, frame: Frame) -> None:
        try:
            self._under_way[await stream.send(frame.data, frame.captured_at)] = frame
        except FrameTooLargeError as error:
            self._failed(frame, "image_too_large", str(error))
        except BaseException:
            self._again.appendleft(frame)  # it never left
            raise

    def _hear(self, event: Event) -> None:
        frame = None
        if isinstance(event, Ready):
            self._tally.connected(event)
        elif isinstance(event, Result | Dropped | FrameError) and event.seq is not None:
            frame = self._under_way.pop(event.seq, None)
            self._attempt, self._failing_since_s = 0, None
            self._tally.add(event)
        self._tell(event, frame)

    def _lost_connection(self) -> None:
        self._again.extendleft(reversed(self._under_way.values()))
        self._under_way.clear()
        if self.stopped or not self._lossless:
            for frame in self._again:
                self._lose(frame, CONNECTION_LOST)
            self._again.clear()

    async def _pause(self, error: ClientError) -> None:
        pause_s = self._plan.backoff.pause_s(self._attempt, error.retry_after_s)
        self._attempt += 1
        if not error.transient or pause_s > self._patience_left_s(asyncio.get_running_loop().time()):
            raise error
        self._tell(Reconnecting(str(error), pause_s, self._attempt), None)
        await asyncio.sleep(pause_s)

    def _patience_left_s(self, now_s: float) -> float:
        return self._plan.patience_s - (0.0 if self._failing_since_s is None else now_s - self._failing_since_s)

    def _timeouts(self, now_s: float) -> Timeouts:
        """Those of the plan; an attempt after the first ends with the patience."""
        timeouts = self._plan.timeouts
        if self._failing_since_s is None:
            return timeouts
        return replace(timeouts, open_s=min(timeouts.open_s, max(LEAST_OPEN_S, self._patience_left_s(now_s))))

    def _lose(self, frame: Frame, reason: str) -> None:
        self._tally.dropped[reason] += 1
        self._tell(Lost(reason), frame)

    def _failed(self, frame: Frame | None, code: str, message: str) -> None:
        error = FrameError(None, None if frame is None else frame.captured_at, code, message)
        self._tally.add(error)
        self._tell(error, frame)
