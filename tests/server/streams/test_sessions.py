"""All streams of a server: places, gauges, and the common end."""

import asyncio
import contextlib

import pytest

from server.errors import OverloadedError
from server.streams.sessions import Sessions
from tests.server.virtual_time import run_virtually


class Stub:
    """A session that ends so long after it was told to."""

    def __init__(self, sessions: Sessions, model: str = "shoes", takes_s: float = 0.0) -> None:
        self.model = model
        self.told_s: list[float] = []
        self.given_up = 0
        self._sessions = sessions
        self._takes_s = takes_s
        self._ends = asyncio.Event()

    def drain(self, timeout_s: float) -> None:
        self.told_s.append(timeout_s)
        asyncio.get_running_loop().call_later(self._takes_s, self._ends.set)

    async def serve(self) -> None:
        with self._sessions.entered(self):
            await self._ends.wait()


def test_no_more_places_than_the_limit_and_each_comes_back() -> None:
    sessions = Sessions(2)
    with contextlib.ExitStack() as taken:
        taken.enter_context(sessions.place())
        taken.enter_context(sessions.place())
        with pytest.raises(OverloadedError, match=r"takes \(2\) are open") as caught, sessions.place():
            raise AssertionError("a third place")
        assert caught.value.retry_after_s == 5.0
    with pytest.raises(ZeroDivisionError), sessions.place():
        raise ZeroDivisionError
    with sessions.place(), sessions.place():
        assert list(sessions.gauges()) == []


def test_open_streams_are_counted_by_model() -> None:
    sessions = Sessions(9)

    async def scenario() -> None:
        with contextlib.ExitStack() as opened:
            for name in ("shoes", "boots", "shoes"):
                opened.enter_context(sessions.entered(Stub(sessions, name)))
            assert sorted(sessions.gauges()) == [
                ("quickeye_stream_sessions", ("boots",), 1.0),
                ("quickeye_stream_sessions", ("shoes",), 2.0),
            ]
        assert list(sessions.gauges()) == []

    run_virtually(scenario())


def test_draining_tells_every_stream_and_waits_for_the_last() -> None:
    async def scenario() -> None:
        sessions = Sessions(9)
        stubs = [Stub(sessions, takes_s=seconds) for seconds in (1.0, 3.0, 2.0)]
        tasks = [asyncio.create_task(stub.serve()) for stub in stubs]
        await asyncio.sleep(0)
        stubs[1].given_up = 2
        assert await sessions.drain(30.0) == 2
        assert asyncio.get_running_loop().time() == 3.0
        assert [stub.told_s for stub in stubs] == [[30.0]] * 3
        await asyncio.gather(*tasks)

    run_virtually(scenario())


def test_a_stream_that_was_let_in_just_before_is_told_as_it_enters() -> None:
    async def scenario() -> None:
        sessions = Sessions(9)
        await sessions.drain(30.0)
        late = Stub(sessions)
        await late.serve()
        assert late.told_s == [30.0]

    run_virtually(scenario())
