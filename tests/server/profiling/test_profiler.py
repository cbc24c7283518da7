"""One profile at a time, on the event loop's side."""

import asyncio
import threading

import pytest

from server.errors import InternalError, OverloadedError
from server.profiling.formats import folded
from server.profiling.profile import Profile
from server.profiling.profiler import Profiler
from tests.server.profiling.threads_at_work import spinning

LONG_S = 3600.0


def as_folded(profile: Profile) -> bytes:
    return folded(profile, "wall")


async def ended(profiler: Profiler) -> None:
    """Until no profile is being taken."""
    async with asyncio.timeout(60):
        while profiler._over is not None:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def test_a_busy_thread_is_in_it_and_the_loop_is_named() -> None:
    async def scenario() -> str:
        return (await Profiler().take(0.3, as_folded)).decode()

    with spinning("busy bee"):
        lines = asyncio.run(scenario()).splitlines()
    assert any(line.startswith("busy bee;") and "spin_here (tests/server/profiling/" in line for line in lines)
    assert any(line.startswith("event loop;") and "test_a_busy_thread" in line for line in lines)


def test_a_second_one_is_refused_and_told_when_to_come_again() -> None:
    async def scenario() -> None:
        profiler = Profiler()
        first = asyncio.ensure_future(profiler.take(LONG_S, as_folded))
        await asyncio.sleep(0)
        with pytest.raises(OverloadedError) as refused:
            await profiler.take(1.0, as_folded)
        assert refused.value.retry_after_s is not None
        assert 0 < refused.value.retry_after_s <= LONG_S
        profiler.end()
        assert b"event loop" in await first
        assert await profiler.take(0.1, as_folded)

    asyncio.run(scenario())


def test_a_caller_who_leaves_ends_the_sampling() -> None:
    async def scenario() -> None:
        profiler = Profiler()
        rendered: list[Profile] = []

        def render(profile: Profile) -> bytes:
            rendered.append(profile)
            return b""

        taking = asyncio.ensure_future(profiler.take(LONG_S, render))
        await asyncio.sleep(0.05)
        taking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await taking
        await ended(profiler)
        assert rendered == [], "nobody reads it, so nothing is made of it"
        assert await profiler.take(0.1, as_folded)

    asyncio.run(scenario())
    for thread in threading.enumerate():
        if thread.name == "profiler":  # it has told its end, and may be at its very last lines
            thread.join(60)
            assert not thread.is_alive()


def test_the_end_of_the_server_cuts_it_short_and_tells_what_there_is() -> None:
    async def scenario() -> list[bool]:
        profiler = Profiler()
        profiler.end()  # nothing to end
        early: list[bool] = []

        def render(profile: Profile) -> bytes:
            early.append(profile.ended_early)
            return b""

        taking = asyncio.ensure_future(profiler.take(LONG_S, render))
        await asyncio.sleep(0)
        profiler.end()
        await taking
        return early

    assert asyncio.run(scenario()) == [True]


def test_a_fault_of_the_sampler_is_told_and_the_next_one_works(caplog: pytest.LogCaptureFixture) -> None:
    def broken(profile: Profile) -> bytes:
        raise ZeroDivisionError

    async def scenario() -> bytes:
        profiler = Profiler()
        with pytest.raises(InternalError):
            await profiler.take(0.1, broken)
        return await profiler.take(0.1, as_folded)

    assert asyncio.run(scenario())
    assert "a profile failed" in caplog.text
