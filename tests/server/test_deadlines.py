"""One timer for many deadlines, in virtual time."""

import asyncio
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.deadlines import Deadlines
from server.job import Job
from tests.server.virtual_time import run_virtually

# When a job comes and how long it has, in tenths of a second; whether it ends in time.
arrivals = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30), st.booleans()), max_size=12)


def job_until(deadline_s: float) -> Job:
    return Job(b"", None, deadline_s)


def now_s() -> float:
    return asyncio.get_running_loop().time()


class Watched:
    """Deadlines that tell when each job was late."""

    def __init__(self) -> None:
        self.late: dict[Job, float] = {}
        self.deadlines = Deadlines(self._on_late, asyncio.get_running_loop().time)

    def _on_late(self, job: Job) -> None:
        assert job not in self.late
        self.late[job] = now_s()
        self.deadlines.discard(job)


@given(arrivals)
def test_who_is_still_open_at_its_deadline_is_late_then_and_nobody_else(came: list[tuple[int, int, bool]]) -> None:
    async def scenario() -> None:
        watched = Watched()

        async def one(at: int, has: int, in_time: bool) -> None:
            await asyncio.sleep(at / 10)
            job = job_until(now_s() + has / 10)
            watched.deadlines.add(job)
            if in_time:
                watched.deadlines.discard(job)
            await asyncio.sleep(has / 10 + 0.01)
            assert watched.late.get(job) == (None if in_time else pytest.approx(job.deadline_s, abs=1e-6))

        await asyncio.gather(*(one(*each) for each in came))
        assert len(watched.deadlines) == 0

    run_virtually(scenario())


def test_the_timer_goes_off_once_for_what_ended_in_time_and_then_no_more() -> None:
    async def scenario() -> list[float]:
        looks: list[float] = []

        def clock() -> float:
            looks.append(now_s())
            return now_s()

        deadlines = Deadlines(lambda job: None, clock)
        for _ in range(100):
            job = job_until(now_s() + 10)
            deadlines.add(job)
            deadlines.discard(job)
            await asyncio.sleep(0.01)
        looks.clear()
        await asyncio.sleep(100)
        return looks

    assert set(run_virtually(scenario())) == {10.0}


def test_a_job_without_a_deadline_is_open_and_needs_no_timer() -> None:
    async def scenario() -> None:
        watched = Watched()
        job = job_until(math.inf)
        watched.deadlines.add(job)
        await asyncio.sleep(1000)
        assert job in watched.deadlines
        assert list(watched.deadlines) == [job]
        assert not watched.late

    run_virtually(scenario())


def test_closed_it_watches_nobody() -> None:
    async def scenario() -> None:
        watched = Watched()
        watched.deadlines.add(job_until(1.0))
        watched.deadlines.close()
        await asyncio.sleep(10)
        assert not watched.late
        assert len(watched.deadlines) == 0

    run_virtually(scenario())


def test_a_timer_that_goes_off_early_counts_as_its_deadline() -> None:
    """uvloop rounds to the millisecond; looking again and again until the clock agrees would be polling."""

    async def scenario() -> None:
        late: list[Job] = []

        def on_late(job: Job) -> None:
            late.append(job)
            deadlines.discard(job)

        deadlines = Deadlines(on_late, lambda: 0.0)
        job = job_until(1.0)
        deadlines.add(job)
        await asyncio.sleep(1.001)  # the clock still says 0
        assert late == [job]

    run_virtually(scenario())
