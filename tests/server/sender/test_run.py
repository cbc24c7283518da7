"""Frames across lost connections: every one ends once, in one way, and the run ends when it should."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest

from server.client import (
    AsyncClient,
    Backoff,
    ClientError,
    FrameError,
    RefusedError,
    Result,
    TimedOutError,
    Timeouts,
    UnreachableError,
)
from server.client.events import Policy
from server.sender.run import Lost, Reconnecting, StreamPlan, StreamRun, Told
from server.sender.sources import Frame, SourceError
from server.sender.tally import CONNECTION_LOST, NOT_CONNECTED, StreamTally
from tests.server.client.stream_double import ABORT, Refused, StreamDouble
from tests.server.running import free_port

QUICK = Backoff(0.001, 0.002)
Feed = AsyncIterator[Frame | SourceError]


async def numbered(count: int, every_s: float = 0.0) -> Feed:
    """So many frames, which hold their number."""
    for number in range(1, count + 1):
        yield Frame(f"{number}".encode(), 0.0, f"frame {number}", number)
        if every_s:
            await asyncio.sleep(every_s)


class Play:
    """One run against the double, and everything that was told."""

    def __init__(self, double: StreamDouble, policy: Policy = "all", **plan: Any) -> None:  # noqa: ANN401
        self.double = double
        self.plan = StreamPlan({"policy": policy}, patience_s=5.0, backoff=QUICK)
        self.plan = replace(self.plan, **plan)
        self.told: list[tuple[Told, int | None]] = []
        self.tally = StreamTally(lambda: 0.0)
        self.run: StreamRun | None = None
        self.error: Exception | None = None

    def of(self, kind: type[Any]) -> list[int]:
        """The numbers of the frames that ended so; 0 for what is about none."""
        return [number or 0 for event, number in self.told if isinstance(event, kind)]

    def with_feed(self, feed: Feed, during: Callable[["Play"], object] | None = None) -> "Play":
        """Run to the end; ``during`` is called after every event."""

        def hear(told: Told, frame: Frame | None) -> None:
            self.told.append((told, None if frame is None else frame.number))
            if during is not None:
                during(self)

        async def play() -> None:
            async with asyncio.timeout(20), self.double.serving() as url, AsyncClient(url) as client:
                self.run = StreamRun(client, self.plan, feed, self.tally, hear)
                with contextlib.suppress(SourceError, ClientError):
                    try:
                        await self.run.run()
                    except (SourceError, ClientError) as error:
                        self.error = error
                        raise

        asyncio.run(play())
        return self


def test_every_frame_of_a_recording_is_answered() -> None:
    play = Play(StreamDouble()).with_feed(numbered(50))
    assert play.of(Result) == list(range(1, 51))
    assert (play.tally.frames, play.tally.results, play.tally.under_way, play.error) == (50, 50, 0, None)
    assert play.double.controls == [{"type": "end"}]


@pytest.mark.parametrize("code", [ABORT, 1001, 1013])
def test_under_all_what_a_lost_connection_did_not_answer_is_sent_again(code: int) -> None:
    double = StreamDouble(breaks={0: (5, code), 1: (0, code), 2: (7, code)}, refusals=[])
    play = Play(double).with_feed(numbered(40))
    assert sorted(set(play.of(Result))) == list(range(1, 41))
    assert play.of(Result) == sorted(play.of(Result))
    assert (play.tally.results, play.tally.under_way, play.tally.connections) == (40, 0, 4)
    reasons = [event.reason for event, _ in play.told if isinstance(event, Reconnecting)]
    assert len(reasons) == 3


def test_under_latest_it_is_counted_as_lost() -> None:
    double = StreamDouble(breaks={0: (2, ABORT)})
    play = Play(double, "latest").with_feed(numbered(60, every_s=0.002))
    tally = play.tally
    assert tally.frames == 60
    assert tally.under_way == 0
    assert tally.dropped[CONNECTION_LOST] >= 1
    assert tally.results >= 2
    assert len(play.of(Result)) + len(play.of(Lost)) + tally.dropped.total() - len(play.of(Lost)) == 60


def test_frames_of_a_camera_are_dropped_while_there_is_no_connection() -> None:
    refusals = [Refused(503, "not_ready") for _ in range(30)]
    double = StreamDouble(breaks={0: (1, ABORT)})

    def shut(play: Play) -> None:
        if not double.refusals and len(double.requests) == 1:
            double.refusals = list(refusals)

    play = Play(double, "latest").with_feed(numbered(100, every_s=0.001), during=shut)
    assert play.tally.dropped[NOT_CONNECTED] >= 1
    assert (play.tally.frames, play.tally.under_way) == (100, 0)


def test_busy_servers_are_asked_again_and_their_word_is_kept() -> None:
    double = StreamDouble(refusals=[Refused(503, "not_ready"), Refused(429, "overloaded", "0"), Refused(502, None)])
    play = Play(double).with_feed(numbered(3))
    assert play.of(Result) == [1, 2, 3]
    waits = [event for event, _ in play.told if isinstance(event, Reconnecting)]
    assert [event.attempt for event in waits] == [1, 2, 3]
    assert "not_ready" in waits[0].reason
    slow = StreamDouble(refusals=[Refused(429, "overloaded", "60")])
    patience = Play(slow).with_feed(numbered(3))
    assert isinstance(patience.error, RefusedError)
    assert patience.told == []


@pytest.mark.parametrize(("status", "code"), [(401, "unauthorized"), (404, "unknown_model"), (400, "invalid_request")])
def test_refusals_that_will_not_pass_are_final(status: int, code: str) -> None:
    double = StreamDouble(refusals=[Refused(status, code)])
    play = Play(double).with_feed(numbered(3))
    assert isinstance(play.error, RefusedError)
    assert (play.error.code, len(double.requests), play.tally.frames) == (code, 1, 0)


def test_patience_ends() -> None:
    async def scene() -> None:
        nobody = AsyncClient(f"http://127.0.0.1:{free_port()}")
        told: list[Told] = []
        plan = StreamPlan({"policy": "all"}, patience_s=0.05, backoff=Backoff(0.01, 0.01))
        run = StreamRun(nobody, plan, numbered(1), StreamTally(lambda: 0.0), lambda event, frame: told.append(event))
        with pytest.raises(UnreachableError):
            await run.run()
        assert 2 <= len(told) <= 11
        told.clear()
        once = StreamRun(
            nobody, replace(plan, patience_s=0.0), numbered(1), StreamTally(lambda: 0.0), lambda event, frame: None
        )
        with pytest.raises(UnreachableError):
            await once.run()
        assert told == []

    asyncio.run(scene())


def test_an_attempt_that_hangs_uses_up_patience() -> None:
    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1000):
            pass
        writer.close()

    async def scene() -> None:
        silent = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
        async with silent:
            client = AsyncClient(f"127.0.0.1:{silent.sockets[0].getsockname()[1]}")
            plan = StreamPlan({"policy": "all"}, patience_s=0.04, backoff=QUICK, timeouts=Timeouts(open_s=0.05))
            told: list[Told] = []
            run = StreamRun(
                client, plan, numbered(1), StreamTally(lambda: 0.0), lambda event, frame: told.append(event)
            )
            with pytest.raises(TimedOutError, match="did not answer within"):
                await run.run()
            assert told == []

    asyncio.run(scene())


def test_it_ends_after_so_many_frames_or_so_long() -> None:
    assert Play(StreamDouble(), frames=7).with_feed(numbered(50)).of(Result) == [1, 2, 3, 4, 5, 6, 7]
    timed = Play(StreamDouble(), seconds=0.05).with_feed(numbered(100_000, every_s=0.002))
    assert 0 < timed.tally.frames < 1000
    assert (timed.tally.under_way, timed.error) == (0, None)
    assert timed.double.controls == [{"type": "end"}]


def test_stop_lets_what_is_under_way_be_answered() -> None:
    def stop_at_ten(play: Play) -> None:
        if play.tally.results == 10 and play.run is not None and not play.run.stopped:
            play.run.stop()

    play = Play(StreamDouble()).with_feed(numbered(1000), during=stop_at_ten)
    assert play.double.controls == [{"type": "end"}]
    assert 10 <= play.tally.results < 30
    assert len(play.double.frames) == play.tally.results
    assert play.error is None


def test_stop_ends_an_attempt_to_connect_and_a_second_one_ends_everything() -> None:
    def stop(play: Play) -> None:
        if play.run is not None:
            play.run.stop()

    refusing = StreamDouble(refusals=[Refused(503) for _ in range(1000)])
    play = Play(refusing, backoff=Backoff(5.0, 5.0), patience_s=100.0).with_feed(numbered(5), during=stop)
    assert (play.error, play.tally.frames, len(refusing.requests)) == (None, 0, 1)

    def stop_twice(play: Play) -> None:
        if play.run is not None and play.of(FrameError):
            play.run.stop()
            play.run.stop()

    silent = StreamDouble(held=True, max_frame_bytes=100)
    play = Play(silent).with_feed(troubled(), during=stop_twice)
    assert (play.error, play.tally.results) == (None, 0)


async def troubled() -> Feed:
    yield Frame(b"1", 0.0, "a", 1)
    yield SourceError("b cannot be read")
    yield Frame(bytes(1000), 0.0, "c", 3)
    yield Frame(b"4", 0.0, "d", 4)
    raise SourceError("the camera is gone")


def test_a_frame_that_cannot_be_sent_fails_alone_and_a_source_that_fails_ends_the_run() -> None:
    play = Play(StreamDouble(max_frame_bytes=100)).with_feed(troubled())
    assert play.of(Result) == [1, 4]
    errors = [event.code for event, _ in play.told if isinstance(event, FrameError)]
    assert errors == ["unreadable_file", "image_too_large"]
    assert (play.tally.frames, play.tally.under_way) == (4, 0)
    assert str(play.error) == "the camera is gone"


def test_what_is_told_to_nobody_ends_the_run() -> None:
    def nobody_reads(play: Play) -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        Play(StreamDouble()).with_feed(numbered(5), during=nobody_reads)
