"""Dynamic batching alone: a clock turned by hand, no threads but where they are the point."""

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.admission import PROBE_EVERY, BatchLimits
from server.batcher import Batcher
from server.errors import DeadlineExceededError, DrainingError, OverloadedError, ServingError
from server.job import Job
from tests.server.jobs import HandClock, make_job


@dataclass
class Bench:
    """A batcher with its clock and the jobs that it refused after admission."""

    limits: BatchLimits = field(default_factory=BatchLimits)
    instances: int = 1
    clock: HandClock = field(default_factory=HandClock)
    late: list[tuple[Job, ServingError]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.batcher = Batcher(self.limits, self.late.extend, self.clock)
        for _ in range(self.instances):
            self.batcher.join()

    def take(self) -> list[Job]:
        batch = self.batcher.take(block=False)
        assert batch is not None
        return batch


def bench(instances: int = 1, **limits: float) -> Bench:
    return Bench(BatchLimits(**limits), instances)  # type: ignore[arg-type]


def test_a_lone_job_is_taken_at_once() -> None:
    it = bench()
    job = make_job()
    it.batcher.submit([job])
    assert it.take() == [job]
    assert it.batcher.counts() == (0, 1)
    it.batcher.finished([job], 1, 0.01)
    assert it.batcher.counts() == (0, 0)


def test_what_waits_becomes_the_next_batch_up_to_the_limit() -> None:
    it = bench(max_batch_size=4)
    it.batcher.submit([make_job() for _ in range(6)])
    assert [len(it.take()), len(it.take()), len(it.take())] == [4, 2, 0]


@pytest.mark.parametrize(
    ("warm_up", "engine", "settled"),
    [
        pytest.param({1: 0.020, 8: 0.080}, lambda images: 0.010 * images, 1, id="one picture was slow once"),
        pytest.param({1: 0.010, 8: 0.090}, lambda _: 0.010, 8, id="eight pictures were slow once"),
    ],
)
def test_one_slow_run_at_warm_up_does_not_decide_for_good(
    warm_up: dict[int, float], engine: Callable[[int], float], settled: int
) -> None:
    it = bench(max_batch_size=8)
    for images, seconds in warm_up.items():
        it.batcher.learn(images, seconds)
    sizes = []
    for _ in range(24 * PROBE_EVERY):
        while it.batcher.counts()[0] < 8:
            it.batcher.submit([make_job()])
        batch = it.take()
        sizes.append(len(batch))
        it.batcher.finished(batch, len(batch), engine(len(batch)))
    assert sizes[: PROBE_EVERY - 1] == [9 - settled] * (PROBE_EVERY - 1), "misled at first"
    last = sizes[-2 * PROBE_EVERY :]
    assert last.count(settled) >= len(last) - 2


SIZES = (1, 2, 4, 8, 16)


@pytest.mark.parametrize(
    ("seconds", "waiting", "taken"),
    [
        pytest.param(lambda size: 0.001 + 0.001 * size, 9, [8, 1], id="sixteen would take longer than eight and one"),
        pytest.param(lambda size: 0.001 + 0.001 * size, 13, [13], id="hardly any padding"),
        pytest.param(lambda size: 0.001 + 0.001 * size, 8, [8], id="no padding"),
        pytest.param(lambda _: 0.010, 9, [9], id="any size takes as long"),
        pytest.param(lambda size: 0.001 + 0.001 * size, 3, [3], id="a small one is not worth two"),
    ],
)
def test_a_batch_ends_at_a_prepared_size_where_padding_does_not_pay(
    seconds: Callable[[int], float], waiting: int, taken: list[int]
) -> None:
    it = bench(max_batch_size=16, sizes=SIZES)
    for size in SIZES:
        it.batcher.learn(size, seconds(size))
    it.batcher._admission.efficient_size = 16
    it.batcher.submit([make_job() for _ in range(waiting)])
    assert [len(it.take()) for _ in taken] == taken


def test_an_engine_for_any_size_is_never_cut_short() -> None:
    it = bench(max_batch_size=16)
    it.batcher.learn(16, 0.016)
    it.batcher.learn(8, 0.001)
    it.batcher.learn(1, 0.001)
    it.batcher._admission.efficient_size = 16
    it.batcher.submit([make_job() for _ in range(9)])
    assert len(it.take()) == 9


def test_free_instances_share_what_waits() -> None:
    it = bench(instances=2)
    it.batcher._idle = 1  # another instance sleeps on the condition
    it.batcher.submit([make_job() for _ in range(6)])
    assert len(it.take()) == 3


def test_company_is_waited_for_from_the_oldest_arrival() -> None:
    it = bench(max_queue_delay_s=0.010, max_batch_size=4)
    it.batcher.submit([make_job()])
    it.clock.now_s = 0.006
    it.batcher.submit([make_job()])
    assert it.take() == []
    it.clock.now_s = 0.0101
    assert len(it.take()) == 2
    it.batcher.submit([make_job() for _ in range(4)])
    assert len(it.take()) == 4, "a full batch waits for nobody"


def test_a_batch_stops_growing_where_the_tightest_deadline_would_break() -> None:
    it = bench(max_batch_size=8)
    it.batcher.learn(1, 0.020)
    it.batcher.learn(8, 0.090)
    it.batcher.submit([make_job(0.055), *(make_job(9.0) for _ in range(7))])
    assert len(it.take()) == 4, "t(4) = 50 ms fits into 55 ms, t(5) does not"


def test_where_a_batch_gains_nothing_pictures_are_served_one_by_one() -> None:
    it = bench(max_batch_size=8)
    it.batcher.learn(1, 0.0102)
    it.batcher.learn(8, 0.080)
    it.batcher.submit([make_job() for _ in range(8)])
    assert len(it.take()) == 1


def test_when_single_pictures_become_dear_batches_come_back() -> None:
    it = bench(max_batch_size=8)
    it.batcher.learn(8, 0.080)
    it.batcher.learn(1, 0.010)
    for _ in range(50):
        it.batcher.learn(1, 0.030)
    it.batcher.submit([make_job() for _ in range(8)])
    assert len(it.take()) == 8


def test_a_job_whose_deadline_passed_is_told_so_and_not_run() -> None:
    it = bench()
    late, fine = make_job(1.0), make_job(9.0)
    it.batcher.submit([late, fine])
    it.clock.now_s = 1.5
    assert it.take() == [fine]
    assert [(job, type(error)) for job, error in it.late] == [(late, DeadlineExceededError)]


def test_a_job_that_can_no_longer_make_it_is_told_so_before_its_deadline() -> None:
    it = bench()
    it.batcher.learn(1, 0.100)
    job = make_job(0.300)
    it.batcher.submit([job])
    it.clock.now_s = 0.250
    assert it.take() == []
    assert it.late[0][0] is job


def test_the_queue_is_bounded_in_images_and_bytes() -> None:
    it = bench(max_queue_images=2, max_queue_bytes=100)
    it.batcher.submit([make_job(size=60)])
    with pytest.raises(OverloadedError, match="full"):
        it.batcher.submit([make_job(size=60)])
    it.batcher.submit([make_job(size=40)])
    with pytest.raises(OverloadedError, match="full"):
        it.batcher.submit([make_job(size=0)])


def test_a_request_is_admitted_whole_or_not_at_all() -> None:
    it = bench(max_queue_images=3)
    with pytest.raises(OverloadedError):
        it.batcher.submit([make_job() for _ in range(4)])
    assert it.batcher.counts() == (0, 0)


def test_what_would_start_too_late_is_refused_with_the_wait() -> None:
    it = bench(instances=2, max_batch_size=1, max_queue_wait_s=0.351, max_queue_images=1000)
    it.batcher.learn(1, 0.010)
    admitted = 0
    with pytest.raises(OverloadedError) as refused:
        for _ in range(1000):
            it.batcher.submit([make_job()])
            admitted += 1
    assert admitted == 71, "70 ahead at 10 ms on two instances are 350 ms"
    assert refused.value.retry_after_s == pytest.approx(0.355)


def test_a_deadline_shorter_than_the_wait_is_refused_at_the_door() -> None:
    it = bench(max_queue_wait_s=10.0, max_batch_size=1)
    it.batcher.learn(1, 0.100)
    it.batcher.submit([make_job() for _ in range(5)])
    with pytest.raises(OverloadedError, match="500 ms"):
        it.batcher.submit([make_job(0.4)])
    it.batcher.submit([make_job(0.6)])


def test_the_wait_shrinks_as_work_is_done() -> None:
    it = bench(max_batch_size=4)
    it.batcher.learn(4, 0.040)
    it.batcher.submit([make_job() for _ in range(8)])
    assert it.batcher.predicted_wait_s() == pytest.approx(0.080)
    batch = it.take()
    assert it.batcher.predicted_wait_s() == pytest.approx(0.060), "a running batch is half done, on average"
    it.batcher.finished(batch, len(batch), 0.040)
    assert it.batcher.predicted_wait_s() == pytest.approx(0.040)


def test_a_cancelled_job_is_not_run() -> None:
    it = bench()
    gone, kept = make_job(1.0), make_job(2.0)
    it.batcher.submit([gone, kept])
    assert it.batcher.cancel(gone)
    assert it.take() == [kept]
    assert not it.batcher.cancel(kept), "it is being run"


def test_draining_refuses_new_work_and_serves_what_waits() -> None:
    it = bench()
    job = make_job()
    it.batcher.submit([job])
    it.batcher.drain()
    with pytest.raises(DrainingError):
        it.batcher.submit([make_job()])
    assert it.take() == [job]


def test_closing_gives_back_what_nobody_will_serve_and_sends_instances_home() -> None:
    it = bench()
    jobs = [make_job() for _ in range(3)]
    it.batcher.submit(jobs)
    assert set(map(id, it.batcher.close())) == set(map(id, jobs))
    assert it.batcher.take() is None


Action = tuple[str, int, int]


@settings(max_examples=500, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["submit", "take", "cancel", "wait", "finish", "fail"]),
            st.integers(0, 9),
            st.integers(0, 60),
        ),
        max_size=120,
    ),
    st.integers(1, 5),
    st.sampled_from([0.0, 0.02]),
)
def test_random_schedules_end_every_job_exactly_once(
    script: list[Action], max_batch_size: int, max_queue_delay_s: float
) -> None:
    """Arrivals, cancellations, deadlines, priorities, failures: nothing lost, nothing twice, no batch too large."""
    it = bench(2, max_batch_size=max_batch_size, max_queue_delay_s=max_queue_delay_s, max_queue_images=20)
    admitted: list[Job] = []
    ends: dict[int, str] = {}
    running: list[list[Job]] = []

    def end(job: Job, how: str) -> None:
        assert id(job) not in ends, f"{ends.get(id(job))} and {how}"
        ends[id(job)] = how

    for action, number, amount in script:
        if action == "submit":
            stream = number if number % 3 == 0 else None
            jobs = [make_job(it.clock.now_s + amount / 100 + 0.001, priority=number, stream=stream)] * 1
            jobs += [make_job(it.clock.now_s + 5, priority=number) for _ in range(amount % 3)]
            try:
                it.batcher.submit(jobs)
            except OverloadedError:
                continue
            admitted += jobs
        elif action == "take":
            batch = it.take()
            assert len(batch) <= max_batch_size
            if batch:
                running.append(batch)
        elif action == "cancel" and admitted:
            job = admitted[(number * 61 + amount) % len(admitted)]
            if it.batcher.cancel(job):
                end(job, "cancelled")
        elif action == "wait":
            it.clock.now_s += amount / 200
        elif running:
            batch = running.pop(0)
            served = 0 if action == "fail" else len(batch)
            it.batcher.finished(batch, served, 0.001 * amount)
            for job in batch:
                end(job, action)
        while it.late:
            end(it.late.pop()[0], "late")
        waiting, being_run = it.batcher.counts()
        assert being_run == sum(map(len, running))
        assert waiting + being_run + len(ends) == len(admitted)
    for batch in running:
        for job in batch:
            end(job, "finish")
    for job in it.batcher.close():
        end(job, "given back")
    assert len(ends) == len(admitted)


@pytest.mark.parametrize("seed", range(4))
def test_threads_lose_nothing(seed: int) -> None:
    """Real instances and real callers: every job is served once or cancelled, none twice, none never."""
    it = Bench(BatchLimits(max_batch_size=4, max_queue_images=10_000, max_queue_wait_s=1e9), 3, HandClock())
    served: list[int] = []
    lock = threading.Lock()

    def instance() -> None:
        while (batch := it.batcher.take()) is not None:
            assert 1 <= len(batch) <= 4
            with lock:
                served.extend(map(id, batch))
            it.batcher.finished(batch, len(batch), 0.0)

    cancelled: list[int] = []
    all_jobs: list[Job] = []

    def caller(own: random.Random) -> None:
        for _ in range(300):
            jobs = [make_job(priority=own.randrange(10)) for _ in range(own.randrange(1, 4))]
            it.batcher.submit(jobs)
            with lock:
                all_jobs.extend(jobs)
            if own.random() < 0.3 and it.batcher.cancel(jobs[0]):
                with lock:
                    cancelled.append(id(jobs[0]))

    threads = [threading.Thread(target=instance, daemon=True) for _ in range(3)]
    callers = [threading.Thread(target=caller, args=(random.Random(seed * 10 + n),), daemon=True) for n in range(3)]
    for thread in [*threads, *callers]:
        thread.start()
    for thread in callers:
        thread.join()
    for _ in range(10_000):  # nobody nudges the instances: a lost wake-up would leave a job waiting
        if not any(it.batcher.counts()):
            break
        threading.Event().wait(0.001)
    left = it.batcher.close()
    for thread in threads:
        thread.join(10.0)
        assert not thread.is_alive()
    assert not left
    assert sorted([*served, *cancelled]) == sorted(map(id, all_jobs))
