"""Frames that a model has: the order of results, places taken over, and ends."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from server.errors import DrainingError, InternalError, OverloadedError
from server.job import Answer, Job
from server.streams.frame import Stamp
from server.streams.inflight import InFlight, Pending
from server.streams.options import StreamOptions
from tests.server.streams.fakes import FakeModel, answer_of, settled, spec_named
from tests.server.virtual_time import run_virtually


class Told:
    """Notes what is told: the number, and the class or the error's code."""

    def __init__(self) -> None:
        self.said: list[tuple[int, object]] = []

    def result(self, pending: Pending, answer: Answer) -> None:
        self.said.append((pending.stamp.seq, answer.best.index))

    def failure(self, pending: Pending, error: BaseException) -> None:
        self.said.append((pending.stamp.seq, getattr(error, "code", type(error))))


class Bench:
    """A stream's frames and their model."""

    def __init__(self) -> None:
        self.told = Told()
        self.inflight = InFlight(self.told)
        self.model = FakeModel()

    def submit(self, seq: int, model: FakeModel | None = None, **options: Any) -> Pending:  # noqa: ANN401
        model = model or self.model
        chosen = StreamOptions(**{"policy": "all", **options})
        job = Job(b"", None, 1e6, chosen.priority, stream=self)
        pending = Pending(Stamp(seq, None), 0.0, chosen, model, job)
        self.inflight.submit(pending)
        return pending

    async def said(self) -> list[tuple[int, object]]:
        await settled()
        said, self.told.said = self.told.said, []
        return said


def play(scenario: Callable[[Bench], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        await scenario(Bench())

    run_virtually(run())


def test_results_are_told_in_the_order_of_their_frames() -> None:
    async def scenario(bench: Bench) -> None:
        for seq in (1, 2, 3):
            bench.submit(seq)
            bench.model.take()
        bench.model.finish(1, answer_of(20))
        bench.model.finish(1, answer_of(30))
        assert await bench.said() == []
        assert not bench.inflight.idle.is_set()
        bench.model.finish(0, answer_of(10))
        assert await bench.said() == [(1, 10), (2, 20), (3, 30)]
        assert bench.inflight.idle.is_set()

    play(scenario)


def test_errors_are_told_at_once_and_hold_nothing_up() -> None:
    async def scenario(bench: Bench) -> None:
        for seq in (1, 2, 3):
            bench.submit(seq)
            bench.model.take()
        bench.model.finish(1, InternalError(""))
        assert await bench.said() == [(2, "internal")]
        bench.model.finish(1, answer_of(30))
        bench.model.finish(0, answer_of(10))
        assert await bench.said() == [(1, 10), (3, 30)]

    play(scenario)


def test_with_latest_a_newer_frame_takes_the_place_of_the_waiting_one() -> None:
    async def scenario(bench: Bench) -> None:
        bench.submit(1, policy="latest")
        bench.model.take()
        for seq in (2, 3, 4):
            bench.submit(seq, policy="latest")
        assert await bench.said() == [(2, "superseded"), (3, "superseded")]
        assert len(bench.model.waiting) == 1
        bench.model.take()
        bench.model.finish(1, answer_of(40))
        bench.model.finish(0, answer_of(10))
        assert await bench.said() == [(1, 10), (4, 40)]

    play(scenario)


def test_with_all_none_is_superseded() -> None:
    async def scenario(bench: Bench) -> None:
        for seq in (1, 2, 3):
            bench.submit(seq)
        assert await bench.said() == []
        assert len(bench.model.waiting) == 3

    play(scenario)


def test_for_another_model_or_priority_the_waiting_one_leaves_its_line() -> None:
    async def scenario(bench: Bench) -> None:
        boots = FakeModel(spec_named("boots"))
        bench.submit(1, policy="latest")
        bench.submit(2, boots, policy="latest")
        bench.submit(3, boots, policy="latest", priority=0)
        assert await bench.said() == [(1, "superseded"), (2, "superseded")]
        assert (len(bench.model.waiting), len(boots.waiting)) == (0, 1)

    play(scenario)


def test_what_runs_in_the_former_model_is_still_told_first() -> None:
    async def scenario(bench: Bench) -> None:
        boots = FakeModel(spec_named("boots"))
        bench.submit(1, policy="latest")
        bench.model.take()
        bench.submit(2, boots, policy="latest")
        boots.take()
        boots.finish(0, answer_of(20))
        assert await bench.said() == []
        bench.model.finish(0, answer_of(10))
        assert await bench.said() == [(1, 10), (2, 20)]

    play(scenario)


def test_a_frame_that_was_refused_leaves_the_waiting_one_alone() -> None:
    async def scenario(bench: Bench) -> None:
        bench.submit(1)
        bench.model.most_waiting = 1
        try:
            bench.submit(2)
        except OverloadedError:
            assert await bench.said() == []
        else:
            raise AssertionError("a full queue took a frame")
        bench.model.take()
        bench.model.finish()
        assert await bench.said() == [(1, 0)]

    play(scenario)


def test_abandoned_frames_leave_the_queue_and_are_not_told() -> None:
    async def scenario(bench: Bench) -> None:
        pending = [bench.submit(seq) for seq in (1, 2, 3)]
        bench.model.take()
        bench.model.take()
        bench.model.finish(1, answer_of(20))
        await settled()
        bench.inflight.abandon()
        assert {job.stream for job in bench.model.abandoned} == {bench}
        assert not bench.model.waiting
        bench.model.finish(0, answer_of(10))
        assert await bench.said() == []
        assert all(one.job.future is not None and one.job.future.done() for one in pending)

    play(scenario)


def test_giving_up_tells_every_open_frame_and_keeps_results() -> None:
    async def scenario(bench: Bench) -> None:
        for seq in (1, 2, 3):
            bench.submit(seq)
            bench.model.take()
        bench.model.finish(2, answer_of(30))
        await settled()
        bench.inflight.give_up(DrainingError("ending"))
        said = await bench.said()
        assert sorted(said[:2]) == [(1, "draining"), (2, "draining")]
        assert said[2:] == [(3, 30)]
        assert bench.inflight.idle.is_set()

    play(scenario)


def test_nothing_is_logged_of_errors_that_nobody_waits_for() -> None:
    problems: list[dict[str, Any]] = []

    async def scenario(bench: Bench) -> None:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: problems.append(context))
        bench.submit(1)
        bench.model.take()
        future = bench.model.running[0].future
        bench.inflight.abandon()
        bench.model.finish(0, InternalError(""))
        assert future is not None and future.cancelled()
        bench.submit(2)
        bench.model.take()
        bench.model.finish(0, InternalError(""))
        await settled()

    play(scenario)
    assert problems == []
