"""The order of service: priority, earliest deadline, streams in turn, nobody starves."""

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from server.frame_history import FrameHistory
from server.job import Job
from server.job_queue import JobQueue
from tests.server.jobs import make_job


def drained(queue: JobQueue, now_s: float = 0.0) -> list[Job]:
    served = []
    while (job := queue.pop(now_s)) is not None:
        served.append(job)
    return served


def filled(jobs: list[Job], starvation_s: float = 1.0) -> JobQueue:
    queue = JobQueue(starvation_s)
    for job in jobs:
        queue.add(job, 0.0)
    return queue


def test_posts_go_by_earliest_deadline() -> None:
    late, soon, middle = make_job(9.0), make_job(1.0), make_job(5.0)
    assert drained(filled([late, soon, middle])) == [soon, middle, late]


def test_equal_deadlines_go_in_order_of_arrival() -> None:
    jobs = [make_job(1.0) for _ in range(10)]
    assert drained(filled(jobs)) == jobs


def test_priority_goes_before_deadline() -> None:
    patient, urgent = make_job(1.0, priority=9), make_job(100.0, priority=0)
    assert drained(filled([patient, urgent])) == [urgent, patient]


def test_streams_take_turns_one_frame_each() -> None:
    first = [make_job(stream="a") for _ in range(3)]
    second = [make_job(stream="b") for _ in range(2)]
    order = [job.stream for job in drained(filled([*first, *second]))]
    assert order == ["a", "b", "a", "b", "a"]


def test_posts_and_streams_of_one_priority_alternate() -> None:
    posts = [make_job() for _ in range(3)]
    frames = [make_job(stream=name) for name in "abc"]
    order = ["post" if job.stream is None else "frame" for job in drained(filled([*posts, *frames]))]
    assert order == ["post", "frame"] * 3


def test_a_flood_of_urgent_posts_does_not_starve_the_last_priority() -> None:
    queue = JobQueue(starvation_s=1.0)
    patient = make_job(priority=9)
    queue.add(patient, 0.0)
    for tick in range(100):
        queue.add(make_job(priority=0), tick / 10)
        if queue.pop(tick / 10) is patient:
            assert 9.0 <= tick / 10 <= 9.2, "nine priorities up at one a second"
            return
    raise AssertionError("the patient job was never served")


def test_no_priority_moves_up_before_its_time() -> None:
    queue = JobQueue(starvation_s=1.0)
    queue.add(make_job(priority=1), 0.0)
    urgent = make_job(priority=0)
    queue.add(urgent, 0.9)
    assert queue.pop(0.9) is urgent


def test_a_forgotten_job_is_never_served_and_leaves_no_weight() -> None:
    kept, gone = make_job(2.0, size=7), make_job(1.0, size=100)
    queue = filled([gone, kept])
    assert queue.forget(gone)
    assert not queue.forget(gone)
    assert (queue.images, queue.size_bytes) == (1, 7)
    assert drained(queue) == [kept]
    assert not queue.forget(kept), "a job that was served does not wait any more"


def test_forgotten_jobs_do_not_pile_up() -> None:
    queue = filled([make_job()])
    for _ in range(10_000):
        job = make_job(stream="s") if _ % 2 else make_job()
        queue.add(job, 0.0)
        queue.forget(job)
    held = sum(len(level.posts) + len(level.streams) for level in queue._levels)
    assert held < 200


def test_a_job_that_does_not_fit_stays_at_the_head() -> None:
    job = make_job()
    queue = filled([job])
    assert queue.pop(0.0, lambda _: False) is None
    assert queue.images == 1
    assert queue.pop(0.0) is job


def test_the_oldest_arrival_is_found_whatever_the_order_of_service() -> None:
    queue = JobQueue(1.0)
    assert queue.oldest_arrival_s() == math.inf
    for arrived_s, priority in ((3.0, 0), (1.0, 9), (2.0, 5)):
        job = make_job(priority=priority)
        job.arrived_s = arrived_s
        queue.add(job, arrived_s)
    assert queue.oldest_arrival_s() == 1.0


def test_frames_with_a_history_come_back_to_their_stream_s_turn() -> None:
    queue = JobQueue(1.0)
    frames = [make_job(stream="a") for _ in range(3)]
    for frame in frames:
        frame.history = FrameHistory(gate=1.0)
        queue.add(frame, 0.0)
    other, another = make_job(stream="b"), make_job(stream="c")
    queue.add(other, 0.0)
    assert queue.pop(0.0) is frames[0]
    queue.add(another, 0.0)
    assert (queue.images, queue.frames, queue.parked) == (4, 4, 2)
    assert queue.release("a", 0.0) == 2
    assert queue.parked == 0
    assert [queue.pop(0.0) for _ in range(3)] == [other, frames[1], another]


def test_a_released_frame_s_wait_for_a_higher_priority_begins_when_it_may_go() -> None:
    queue = JobQueue(starvation_s=1.0)
    frames = [make_job(stream="a", priority=1) for _ in range(2)]
    for frame in frames:
        frame.history = FrameHistory(gate=1.0)
        queue.add(frame, 0.0)
    queue.pop(0.0)
    queue.release("a", 5.0)
    urgent = make_job(priority=0)
    queue.add(urgent, 5.5)
    assert queue.pop(5.5) is urgent


Step = tuple[str, int, float, int | None]
steps = st.lists(
    st.tuples(
        st.sampled_from(["add", "pop", "forget", "release", "wait"]),
        st.integers(0, 9),
        st.floats(0, 10, allow_nan=False),
        st.one_of(st.none(), st.integers(0, 3)),
    ),
    max_size=80,
)


@settings(max_examples=300, deadline=None)
@given(steps)
def test_every_job_leaves_exactly_once_and_the_counts_are_right(script: list[Step]) -> None:
    """Streams 2 and 3 have a history: while one of their frames is out, the others of theirs may not go."""
    queue = JobQueue(1.0)
    out: set[object] = set()
    waiting: list[Job] = []
    left: list[Job] = []
    now_s = 0.0
    for action, number, seconds, stream in script:
        if action == "add":
            job = make_job(now_s + seconds, priority=number, stream=stream, size=number + 1)
            job.arrived_s = now_s
            job.history = FrameHistory(gate=1.0) if stream in (2, 3) else None
            queue.add(job, now_s)
            waiting.append(job)
        elif action == "pop":
            served = queue.pop(now_s)
            assert (served is None) == (not [job for job in waiting if job.stream not in out])
            if served is not None:
                assert served.stream not in out
                if served.history is not None:
                    out.add(served.stream)
                same = [job for job in waiting if (job.priority, job.stream) == (served.priority, served.stream)]
                expected = min(same, key=lambda job: job.deadline_s) if served.stream is None else same[0]
                assert (served.deadline_s, served.arrived_s) == (expected.deadline_s, served.arrived_s)
                waiting.remove(served)
                assert not any(served is gone for gone in left)
                left.append(served)
        elif action == "forget" and waiting:
            gone = waiting.pop(number % len(waiting))
            assert queue.forget(gone)
        elif action == "release" and stream in out:
            out.remove(stream)
            assert queue.release(stream, now_s) == sum(job.stream == stream for job in waiting)
        else:
            now_s += seconds
        assert queue.images == len(waiting)
        assert queue.parked == sum(job.stream in out for job in waiting)
        assert queue.frames == sum(job.stream is not None for job in waiting)
        assert queue.size_bytes == sum(job.size_bytes for job in waiting)
    rest = queue.clear(now_s)
    assert sorted(map(id, rest)) == sorted(map(id, waiting))
