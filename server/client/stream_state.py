"""What a stream's client knows, without a socket: frames under way, events to be read, and how it ended."""

import math
from collections import deque
from dataclasses import replace

from server.client.errors import ClientError, FrameTooLargeError, UnreadEventsError
from server.client.events import ConfigChanged, Dropped, Event, FrameError, Ready, Result, Stats
from server.client.window import Window

# A frame is being run while the next is uploaded; more would only wait on the line and grow old there.
LATEST_INFLIGHT = 2
MANY = 2**31

Answer = ConfigChanged | Stats | FrameError


class StreamState:
    """One stream, from ``ready`` to its end.

    Args:
        max_inflight: frames without an event; None: 2 under ``latest``; under ``all`` at most what the server takes.
        max_unread: events that may wait for the caller.
    """

    def __init__(self, ready: Ready, max_inflight: int | None, max_unread: int) -> None:
        newest_wins = ready.options.policy == "latest"
        # Under ``all`` the server reads no more than its own limit: what is beyond that would only be in the way.
        most = MANY if newest_wins else ready.limits.max_inflight
        size = min(most, max_inflight or (LATEST_INFLIGHT if newest_wins else most))
        self.window = Window(size, newest_wins=newest_wins)
        self.events: deque[Event] = deque([ready])
        self.ending = False  # ``end`` was sent
        self.final: Stats | None = None
        self.over: ClientError | None = None  # why nothing more comes; also after a good end
        self.asked: type[ConfigChanged | Stats] | None = None
        self.answer: Answer | None = None  # to what was asked
        self._max_frame_bytes = ready.limits.max_frame_bytes
        self._max_unread = max_unread

    @property
    def ended_well(self) -> bool:
        """Whether every frame has its event and the server has said its last word."""
        return self.over is not None and self.ending and self.final is not None and not self.window.unanswered()

    @property
    def reason(self) -> ClientError:
        """Why nothing more comes; the stream must be over."""
        if self.over is None:
            raise RuntimeError("the stream is still open")
        return self.over

    @property
    def may_read(self) -> bool:
        """Whether there is room for another event; after ``end`` always, for only few can follow."""
        return self.ending or len(self.events) < self._max_unread

    def must_be_open(self) -> None:
        """Let a message be sent.

        Raises:
            StreamClosedError: it is over. RuntimeError: ``end`` was called.
        """
        if self.ending:
            raise RuntimeError("the stream was ended: nothing more can be sent")
        if self.over is not None:
            raise self.over

    def must_fit(self, data: bytes, captured_at: float) -> None:
        """Look at a frame.

        Raises:
            FrameTooLargeError, ValueError.
        """
        if len(data) > self._max_frame_bytes:
            raise FrameTooLargeError(
                f"a frame of {len(data):,} bytes; this server takes at most {self._max_frame_bytes:,}"
            )
        if not math.isfinite(captured_at):
            raise ValueError("captured_at must be a finite number of seconds")

    def must_be_read(self) -> None:
        """Look at the events that wait.

        Raises:
            UnreadEventsError: they are too many.
        """
        if len(self.events) >= self._max_unread:
            raise UnreadEventsError(f"{len(self.events):,} events wait to be read: iterate over the stream")

    def put(self, data: bytes, captured_at: float) -> int:
        """Number a frame and let it wait to be sent; what it replaces becomes an event."""
        seq, replaced = self.window.put(data, captured_at)
        if replaced is not None:
            self.events.append(Dropped(replaced.seq, replaced.captured_at, "superseded", sent=False))
        return seq

    def heard(self, event: Event, now_s: float) -> None:
        """An event of the server came at ``now_s``."""
        if isinstance(event, Result):
            trip_s = self.window.answered(event.seq, now_s)
            self.events.append(event if trip_s is None else replace(event, round_trip_ms=trip_s * 1e3))
        elif isinstance(event, Stats):
            self._heard_stats(event)
        elif isinstance(event, FrameError) and event.seq is None and self.asked is not None:
            self.answer = event
        else:
            self.events.append(event)
            if isinstance(event, Dropped | FrameError) and event.seq is not None:
                self.window.answered(event.seq, now_s)
            if isinstance(event, ConfigChanged):
                self.window.newest_wins = event.options.policy == "latest"
                self.answer = event if self.asked is ConfigChanged else self.answer

    def _heard_stats(self, stats: Stats) -> None:
        if self.asked is Stats and not self.ending:
            self.answer = stats
        else:  # before the server closes
            self.final = stats
            self.events.append(stats)
