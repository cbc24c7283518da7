"""The stream for programs without an event loop: an ``AsyncStream`` on a loop in a thread of its own.

One implementation serves both kinds. Each call costs a trip to that thread and back (about 0.1 ms); the socket goes
on working while the caller computes.
"""

from types import TracebackType
from typing import Self, Unpack

from server.client.async_stream import AsyncStream
from server.client.events import ConfigChanged, Event, Ready, Stats
from server.client.loop_thread import LoopThread
from server.client.pixels import Frame
from server.client.stream_target import StreamOptions, StreamTarget


class Stream:
    """A stream, made by ``Client.stream`` and open inside its ``with``.

    ::

        with client.stream(policy="all") as stream:
            stream.send(Path("photo.jpg").read_bytes())
            stats = stream.end()
        print(list(stream))

    One thread may send while another iterates. Iteration gives every event, first ``Ready``, last ``Stats``,
    and stops after a good end; a stream that ended otherwise raises ``StreamClosedError`` there.
    """

    def __init__(self, target: StreamTarget) -> None:
        self._stream = AsyncStream(target)
        self._thread: LoopThread | None = None
        self._closed = False

    def __enter__(self) -> Self:
        if self._thread is not None:
            raise RuntimeError("a stream is opened once: make another with client.stream()")
        self._thread = LoopThread("quickeye stream").__enter__()
        try:
            self._thread.call(self._stream.__aenter__())
        except BaseException:
            self._leave(self._thread)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        thread = self._opened()
        try:
            thread.call(self._stream.__aexit__(kind, error, trace))
        finally:
            self._leave(thread)

    @property
    def ready(self) -> Ready:
        """The server's first message: model, options, limits."""
        return self._stream.ready

    def send(self, frame: Frame, captured_at: float | None = None) -> int:
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
        return self._opened().call(self._stream.send(frame, captured_at))

    def receive(self, timeout_s: float | None = None) -> Event | None:
        """The next event; None when none came in time, or after the last one of a stream that ended well.

        Raises:
            StreamClosedError: the stream is over, and every event was read.
        """
        if self._closed:
            return self._stream.take()
        return self._opened().call(self._stream.receive(timeout_s))

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Event:
        event = self.receive()
        if event is None:
            raise StopIteration
        return event

    def configure(self, **changes: Unpack[StreamOptions]) -> ConfigChanged:
        """Change options, for frames that the server gets from now on; also an event, at its place among the others.

        Raises:
            RefusedError: nothing was changed. StreamClosedError, TimedOutError.
        """
        return self._opened().call(self._stream.configure(**changes))

    def stats(self) -> Stats:
        """What the server counted so far.

        Raises:
            RefusedError, StreamClosedError, TimedOutError.
        """
        return self._opened().call(self._stream.stats())

    def end(self) -> Stats:
        """Send what waits, let the server answer all of it, and close; events can be read afterwards.

        Raises:
            StreamClosedError, TimedOutError.
        """
        return self._opened().call(self._stream.end())

    def _opened(self) -> LoopThread:
        if self._thread is None or self._closed:
            raise RuntimeError("the stream is not open: use it inside 'with client.stream() as stream:'")
        return self._thread

    def _leave(self, thread: LoopThread) -> None:
        self._closed = True
        thread.__exit__(None, None, None)
