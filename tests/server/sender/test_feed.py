"""When frames leave: due times, slow readers, live sources; in virtual time."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

import pytest

from server.sender.feed import FrameFeed
from server.sender.sources import Frame, SourceError
from tests.server.virtual_time import run_virtually

T = TypeVar("T")


class Numbered:
    """Frames that are named by their place; a live one comes every ``every_s``."""

    def __init__(self, count: int | None, fps: float | None = None, *, live: bool = False, broken: int = 0) -> None:
        self.count, self.fps, self.live = count, fps, live
        self._broken = broken
        self.at = 0
        self.encoded = 0

    def advance(self) -> bool:
        self.at += 1
        return self.count is None or self.at <= self.count

    def frame(self) -> Frame:
        self.encoded += 1
        if self.at == self._broken:
            raise SourceError("broken")
        return Frame(b"x", 0.0, f"{self.at}")

    def rewind(self) -> None:
        self.at = 0

    def close(self) -> None:
        """Nothing is held."""


def left(
    source: Numbered, fps: float | None = None, *, skip_late: bool = False, loop: bool = False, take: int = 100,
    busy_s: float = 0.0, live_every_s: float = 0.0,
) -> list[tuple[float, str]]:  # fmt: skip
    """When each frame left, in seconds, and its name; the reader is busy for ``busy_s`` after each."""

    async def scene() -> list[tuple[float, str]]:
        clock = asyncio.get_running_loop().time
        begun_s = clock()

        async def call(work: Callable[[], T], /) -> T:
            if live_every_s and work == source.advance:
                await asyncio.sleep(begun_s + (source.at + 1) * live_every_s - clock())
            return work()

        feed = FrameFeed(source, call, fps=fps, skip_late=skip_late, loop=loop, clock=clock, sleep=asyncio.sleep)
        seen: list[tuple[float, str]] = []
        async for frame in feed:
            seen.append((round(clock() - begun_s, 6), frame.name if isinstance(frame, Frame) else str(frame)))
            if len(seen) == take:
                break
            if busy_s:
                await asyncio.sleep(busy_s)
        return seen

    return run_virtually(scene())


def test_a_recorded_source_keeps_its_own_rate_or_the_one_asked_for() -> None:
    assert left(Numbered(4, 10.0)) == [(0.0, "1"), (0.1, "2"), (0.2, "3"), (0.3, "4")]
    assert left(Numbered(3, 10.0), fps=2.0) == [(0.0, "1"), (0.5, "2"), (1.0, "3")]
    assert left(Numbered(3, 10.0), fps=0.0) == [(0.0, "1"), (0.0, "2"), (0.0, "3")]
    assert left(Numbered(3, None)) == [(0.0, "1"), (0.0, "2"), (0.0, "3")]


def test_a_slow_reader_shifts_a_recorded_source_and_gets_no_burst_afterwards() -> None:
    assert left(Numbered(4, 10.0), busy_s=0.25) == [(0.0, "1"), (0.25, "2"), (0.5, "3"), (0.75, "4")]
    times = [at for at, _ in left(Numbered(5, 10.0), busy_s=0.1)]
    assert times == [0.0, 0.1, 0.2, 0.3, 0.4]


def test_overdue_frames_are_stepped_over_like_a_camera_s_and_never_encoded() -> None:
    source = Numbered(20, 10.0)
    seen = left(source, skip_late=True, busy_s=0.25)
    assert source.encoded == len(seen) < 10
    behind = [at * 10 + 1 - int(name) for at, name in seen]  # in frames, of a camera that began at 0
    assert all(-0.01 < late < 1.01 for late in behind)


def test_a_live_source_is_read_at_its_own_pace_and_thinned() -> None:
    every = left(Numbered(None, 30.0, live=True), live_every_s=0.1, take=3)
    assert every == [(0.1, "1"), (0.2, "2"), (0.3, "3")]
    thinned = left(Numbered(None, 30.0, live=True), fps=4.0, live_every_s=0.1, take=5)
    assert [name for _, name in thinned] == ["1", "3", "5", "8", "10"]
    assert left(Numbered(None, live=True), fps=0.0, live_every_s=0.1, take=2) == [(0.1, "1"), (0.2, "2")]


def test_a_loop_begins_again_and_an_empty_source_ends() -> None:
    assert [name for _, name in left(Numbered(2, 10.0), loop=True, take=5)] == ["1", "2", "1", "2", "1"]
    assert left(Numbered(0), loop=True) == []


def test_a_live_source_that_ends_is_an_error_and_a_broken_frame_is_one_in_its_place() -> None:
    with pytest.raises(SourceError, match="no more frames"):
        left(Numbered(2, live=True))
    assert [name for _, name in left(Numbered(3, broken=2))] == ["1", "broken", "3"]
