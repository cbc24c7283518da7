"""Frames of a source at a rate.

A recorded source gives every frame in turn, each when it is due. Where the
reader is slower, the rest is shifted (nothing is sent in a burst to catch up),
or, with ``skip_late``, the frames that are overdue are stepped over, as if it
were a camera. A live source cannot be held up: it is stepped through at its
own pace, and gives a frame whenever one is due.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Protocol, TypeVar

from server.sender.sources import Frame, Source, SourceError

T = TypeVar("T")


class Caller(Protocol):
    """Runs blocking work somewhere and gives its result; ``SourceThread.call``."""

    def __call__(self, work: Callable[[], T], /) -> Awaitable[T]:
        """Run it."""


class FrameFeed:
    """An asynchronous iterator of frames, and of errors of single frames, in their place.

    Args:
        call: where the source's methods run.
        fps: frames per second; None: the source's own rate; 0: as fast as they are taken.
        skip_late: whether a recorded source steps over what is overdue.
        loop: begin a recorded source again at its end.
        clock, sleep: in seconds; the event loop's.
    """

    def __init__(
        self,
        source: Source,
        call: Caller,
        *,
        fps: float | None,
        skip_late: bool,
        loop: bool,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        rate = source.fps if fps is None and not source.live else fps
        self._interval_s = 1.0 / rate if rate else 0.0
        self._source = source
        self._call = call
        self._skip_late = skip_late
        self._loop = loop
        self._clock = clock
        self._sleep = sleep
        self._due_s = 0.0
        self._number = 0

    async def __aiter__(self) -> AsyncIterator[Frame | SourceError]:
        """Frames until the source ends.

        Raises:
            SourceError: a live source ended, or a recorded one cannot be opened again.
        """
        self._due_s = self._clock()
        while await self._advance():
            if self._source.live:
                if not self._is_due():
                    continue
            elif not await self._until_due():
                continue
            yield await self._call(self._frame)

    async def _advance(self) -> bool:
        if await self._call(self._source.advance):
            return True
        if self._source.live:
            raise SourceError("the source gives no more frames")
        if not self._loop:
            return False
        await self._call(self._source.rewind)
        return await self._call(self._source.advance)

    def _is_due(self) -> bool:
        """Whether a live source's frame is wanted."""
        now_s = self._clock()
        if now_s < self._due_s:
            return False
        self._due_s = max(self._due_s + self._interval_s, now_s)
        return True

    async def _until_due(self) -> bool:
        """Wait for a recorded frame's time; False: it is overdue and to be stepped over."""
        late_s = self._clock() - self._due_s
        if late_s < 0:
            await self._sleep(-late_s)
        elif late_s > self._interval_s:
            if self._skip_late and self._interval_s:
                self._due_s += self._interval_s
                return False
            self._due_s += late_s
        self._due_s += self._interval_s
        return True

    def _frame(self) -> Frame | SourceError:
        self._number += 1
        try:
            return replace(self._source.frame(), number=self._number)
        except SourceError as error:
            return error
