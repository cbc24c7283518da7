"""Frames of streams in the batcher: places kept, one outcome each, doors of their own."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.admission import BatchLimits
from server.batcher import Batcher
from server.errors import DeadlineExceededError, DrainingError, OverloadedError, ServingError
from server.frame_history import FrameHistory
from server.job import Job
from tests.server.jobs import HandClock, make_job


@dataclass
class Bench:
    """A batcher, its clock, and the jobs that it refused after admission."""

    limits: BatchLimits
    clock: HandClock = field(default_factory=HandClock)
    late: list[tuple[Job, ServingError]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.batcher = Batcher(self.limits, self.late.extend, self.clock)
        self.batcher.join()

    def take(self) -> list[Job]:
        batch = self.batcher.take(block=False)
        assert batch is not None
        return batch

    def drain(self) -> list[Job]:
        """Everything that may be taken, in order, none given back."""
        taken = []
        while batch := self.take():
            taken += batch
        return taken


def bench(**limits: float) -> Bench:
    return Bench(BatchLimits(**{"max_batch_size": 1, "max_queue_wait_s": 1e9, **limits}))  # type: ignore[arg-type]


def frame(stream: object, history: FrameHistory | None = None, **options: int) -> Job:
    job = make_job(stream=stream, **options)
    job.history = history
    return job


def test_a_newer_frame_takes_the_place_of_the_one_that_waits() -> None:
    it = bench()
    frames = {name: frame(name) for name in "abc"}
    for one in frames.values():
        it.batcher.submit_frame(one)
    for _ in range(100):
        newer = frame("a")
        assert it.batcher.submit_frame(newer, frames["a"])
        assert not frames["a"].waiting
        assert len(frames["a"].picture) == 0, "its bytes are given back"
        frames["a"] = newer
    assert it.batcher.counts() == (3, 0)
    assert it.drain() == [frames["a"], frames["b"], frames["c"]]


def test_a_frame_that_was_taken_is_not_replaced() -> None:
    it = bench()
    running, newer = frame("a"), frame("a")
    it.batcher.submit_frame(running)
    assert it.take() == [running]
    assert not it.batcher.submit_frame(newer, running)
    assert it.take() == [newer]


def test_a_frame_may_change_its_priority_with_its_place() -> None:
    it = bench()
    old, other, newer = frame("a", priority=9), frame("b"), frame("a", priority=0)
    it.batcher.submit_frame(old)
    it.batcher.submit_frame(other)
    assert it.batcher.submit_frame(newer, old)
    assert it.drain() == [newer, other]


def test_frames_of_no_stream_or_of_two_are_refused() -> None:
    it = bench()
    with pytest.raises(ValueError, match="stream"):
        it.batcher.submit_frame(make_job())
    first = frame("a")
    it.batcher.submit_frame(first)
    with pytest.raises(ValueError, match="same one"):
        it.batcher.submit_frame(frame("b"), first)
    assert it.drain() == [first]


def test_posts_and_frames_are_counted_apart() -> None:
    it = bench(max_queue_images=2)
    it.batcher.submit([make_job(), make_job()])
    with pytest.raises(OverloadedError, match="full"):
        it.batcher.submit([make_job()])
    waiting = [frame(name) for name in "ab"]
    for one in waiting:
        it.batcher.submit_frame(one)
    with pytest.raises(OverloadedError, match="full"):
        it.batcher.submit_frame(frame("c"))
    assert it.batcher.submit_frame(frame("a"), waiting[0]), "one for one always fits"
    assert it.batcher.counts() == (4, 0)


def test_posts_and_frames_share_the_bytes() -> None:
    it = bench(max_queue_bytes=100)
    it.batcher.submit([make_job(size=60)])
    old = frame("a", size=30)
    it.batcher.submit_frame(old)
    with pytest.raises(OverloadedError, match="full"):
        it.batcher.submit_frame(frame("b", size=20))
    with pytest.raises(OverloadedError, match="full"):
        it.batcher.submit_frame(frame("a", size=50), old)
    assert old.waiting, "what is refused takes nobody's place"
    assert it.batcher.submit_frame(frame("a", size=40), old)
    with pytest.raises(OverloadedError, match="full"):
        it.batcher.submit([make_job(size=1)])


def test_a_draining_server_takes_no_frame_and_serves_those_it_has() -> None:
    it = bench()
    old = frame("a")
    it.batcher.submit_frame(old)
    it.batcher.drain()
    with pytest.raises(DrainingError):
        it.batcher.submit_frame(frame("a"), old)
    assert it.take() == [old]


def test_frames_are_not_refused_for_the_wait() -> None:
    it = bench(max_queue_wait_s=0.05)
    it.batcher.learn(1, 0.1)
    for number in range(20):
        it.batcher.submit_frame(frame(number))
    assert it.batcher.counts() == (20, 0)


def test_a_post_waits_for_the_posts_ahead_and_the_frames_between_them() -> None:
    it = bench()
    it.batcher.learn(1, 0.1)
    for number in range(20):
        it.batcher.submit_frame(frame(number))
    assert it.batcher.predicted_wait_s() == pytest.approx(0.1), "one frame goes first"
    it.batcher.submit([make_job() for _ in range(4)])
    assert it.batcher.predicted_wait_s() == pytest.approx(0.9), "four posts and five frames"


def test_cameras_that_go_between_the_posts_are_reckoned_with() -> None:
    """One frame waits at a time, but the next is always there soon: each post waits for one."""
    it = bench()
    it.batcher.learn(1, 0.1)
    it.batcher.submit([make_job() for _ in range(200)])
    assert it.batcher.predicted_wait_s() == pytest.approx(20.0)
    for _ in range(90):
        it.batcher.submit_frame(frame("a"))
        for _ in range(2):
            it.batcher.finished(it.take(), 0, 0.0)
    assert it.batcher.counts() == (110, 0)
    assert it.batcher.predicted_wait_s() == pytest.approx(22.0, rel=0.15)
    for _ in range(100):
        it.batcher.finished(it.take(), 0, 0.0)
    assert it.batcher.predicted_wait_s() == pytest.approx(1.0, rel=0.15), "and forgotten when they are gone"


def test_a_stream_with_a_history_has_one_frame_in_hand_at_a_time() -> None:
    it = bench()
    history = FrameHistory(gate=1.0)
    first, second, other = frame("a", history), frame("a", history), frame("b")
    for one in (first, second, other):
        it.batcher.submit_frame(one)
    assert it.take() == [first]
    assert it.take() == [other], "others go meanwhile"
    assert it.take() == []
    newer = frame("a", history)
    assert it.batcher.submit_frame(newer, second), "and the one that waits may be replaced"
    assert it.take() == []
    assert it.batcher.counts() == (1, 2)
    it.batcher.finished([first], 1, 0.01)
    assert it.take() == [newer]


def test_a_late_frame_with_a_history_lets_the_next_one_go() -> None:
    it = bench()
    history = FrameHistory(gate=1.0)
    late, next_one = frame("a", history), frame("a", history)
    late.deadline_s = 1.0
    it.batcher.submit_frame(late)
    it.batcher.submit_frame(next_one)
    it.clock.now_s = 2.0
    assert it.take() == [next_one]
    assert [(job, type(error)) for job, error in it.late] == [(late, DeadlineExceededError)]


def test_a_held_back_frame_can_be_cancelled_and_is_given_back_at_the_end() -> None:
    it = bench()
    history = FrameHistory(gate=1.0)
    frames = [frame("a", history) for _ in range(3)]
    for one in frames:
        it.batcher.submit_frame(one)
    assert it.take() == frames[:1]
    assert it.batcher.cancel(frames[1])
    assert it.batcher.counts() == (1, 1)
    assert it.batcher.close() == frames[2:]
    it.batcher.finished(frames[:1], 1, 0.01)
    assert it.batcher.counts() == (0, 0)


def test_company_is_not_waited_for_among_frames_that_may_not_go_yet() -> None:
    it = bench(max_queue_delay_s=0.01, max_batch_size=4)
    history = FrameHistory(gate=1.0)
    first, second = frame("a", history), frame("a", history)
    it.batcher.submit_frame(first)
    it.batcher.submit_frame(second)
    it.clock.now_s = 0.02
    assert it.take() == [first], "not both in one batch"
    assert it.take() == []
    it.batcher.finished([first], 1, 0.01)
    assert it.take() == [second]


ACTIONS = ("frame", "frame", "frame", "post", "take", "take", "finish", "cancel", "wait")
Script = list[tuple[str, int, int]]
scripts = st.lists(st.tuples(st.sampled_from(ACTIONS), st.integers(0, 4), st.integers(0, 60)), max_size=150)


class Schedule:
    """Plays a script of streams that keep one frame waiting, and keeps account of every job.

    Even streams have a history; stream 4 changes its priority all the time.
    """

    def __init__(self, limits: BatchLimits) -> None:
        self.it = Bench(limits)
        self.ends: dict[Job, str] = {}
        self.admitted: list[Job] = []
        self.running: list[list[Job]] = []
        self.last: dict[int, Job] = {}
        self.histories = {number: FrameHistory(gate=1.0) if number % 2 == 0 else None for number in range(5)}
        self.served: dict[int, list[Job]] = {number: [] for number in range(5)}

    def end(self, job: Job, how: str) -> None:
        assert job not in self.ends, f"{self.ends.get(job)} and {how}"
        self.ends[job] = how

    def frame(self, number: int, amount: int) -> None:
        job = frame(number, self.histories[number], priority=amount % 10 if number == 4 else 5)
        job.deadline_s = self.it.clock.now_s + amount / 50 + 0.001
        before = self.last.get(number)
        line = self.line_up()
        try:
            replaced = self.it.batcher.submit_frame(job, before)
        except OverloadedError:
            assert before is None or not before.waiting, "a newer frame of the same size always fits"
            return
        self.admitted.append(job)
        self.last[number] = job
        if replaced and before is not None:
            self.end(before, "superseded")
            if number != 4:
                assert self.line_up() == line, "it stands where the other stood"

    def line_up(self) -> list[list[object]]:
        levels = self.it.batcher._queue._levels
        return [[place.frames[0].stream for place in level.streams._line] for level in levels]

    def post(self, amount: int) -> None:
        job = make_job(self.it.clock.now_s + amount / 50 + 0.001)
        try:
            self.it.batcher.submit([job])
        except OverloadedError:
            return
        self.admitted.append(job)

    def take(self) -> None:
        batch = self.it.take()
        if batch:
            self.running.append(batch)
        for job in batch:
            if job.stream is not None:
                self.served[job.stream].append(job)  # type: ignore[index]

    def finish(self, which: int) -> None:
        if self.running:
            batch = self.running.pop(which % len(self.running))
            self.it.batcher.finished(batch, len(batch), 0.01)
            for job in batch:
                self.end(job, "answered")

    def cancel(self, which: int) -> None:
        if self.admitted:
            job = self.admitted[which % len(self.admitted)]
            if self.it.batcher.cancel(job):
                self.end(job, "cancelled")

    def check(self) -> None:
        for job, _ in self.it.late:
            self.end(job, "late")
        self.it.late.clear()
        waiting = [job for job in self.admitted if job.waiting]
        streams = [job.stream for job in waiting if job.stream is not None]
        assert len(streams) == len(set(streams)), "two frames of one stream wait"
        in_hand = [job for batch in self.running for job in batch]
        with_history = [job.stream for job in in_hand if job.history is not None]
        assert len(with_history) == len(set(with_history)), "two frames of one history are being run"
        assert self.it.batcher.counts() == (len(waiting), len(in_hand))
        assert len(waiting) + len(in_hand) + len(self.ends) == len(self.admitted)
        queue = self.it.batcher._queue
        assert (queue.frames, queue.size_bytes) == (len(streams), 10 * len(waiting))

    def close(self) -> None:
        for batch in self.running:
            for job in batch:
                self.end(job, "answered")
        for job in self.it.batcher.close():
            self.end(job, "given back")
        assert len(self.ends) == len(self.admitted)


@settings(max_examples=400, deadline=None)
@given(scripts, st.integers(1, 4), st.sampled_from([0.0, 0.02]), st.integers(2, 20))
def test_any_schedule_ends_every_frame_once_and_keeps_every_place(
    script: Script, max_batch_size: int, max_queue_delay_s: float, max_queue_images: int
) -> None:
    played = Schedule(BatchLimits(max_batch_size, max_queue_delay_s, max_queue_images, max_queue_wait_s=1e9))
    for action, number, amount in script:
        match action:
            case "frame":
                played.frame(number, amount)
            case "post":
                played.post(amount)
            case "take":
                played.take()
            case "finish":
                played.finish(number)
            case "cancel":
                played.cancel(amount * 5 + number)
            case _:
                played.it.clock.now_s += amount / 200
        played.check()
    for frames in played.served.values():
        order = [played.admitted.index(job) for job in frames]
        assert order == sorted(order), "a stream's frames are taken in their order"
    played.close()
