"""Why a batch was closed, as the batcher itself decides it."""

import threading
from dataclasses import dataclass, field

import pytest

from server.admission import PROBE_EVERY, BatchLimits
from server.batch_timeline import BatchTimeline, closed_by
from server.batcher import Batcher
from server.job import Job
from tests.server.jobs import HandClock, make_job

PATIENCE_S = 60.0  # never used up: a test that hangs should say so


@dataclass
class Bench:
    """A batcher that keeps timelines, and its clock."""

    limits: BatchLimits = field(default_factory=BatchLimits)
    clock: HandClock = field(default_factory=HandClock)

    def __post_init__(self) -> None:
        self.batcher = Batcher(self.limits, lambda late: None, self.clock)
        self.batcher.keeps_timelines = True
        self.batcher.join()

    def submit(self, images: int, deadline_s: float = 1e9) -> None:
        self.batcher.submit([make_job(deadline_s) for _ in range(images)])

    def formed(self) -> BatchTimeline:
        batch = self.batcher.take(block=False)
        assert batch
        return timeline_of(batch)


def timeline_of(batch: list[Job]) -> BatchTimeline:
    """That of a batch; all its jobs have the same."""
    (timeline,) = {id(job.batch): job.batch for job in batch}.values()
    assert timeline is not None
    assert timeline.size == len(batch)
    return timeline


def test_a_batch_of_all_that_waits() -> None:
    it = Bench()
    it.batcher.learn(1, 0.01)
    it.batcher.learn(8, 0.02)
    it.clock.now_s = 3.0
    it.submit(2)
    told = it.formed()
    assert (told.closed_by, told.size, told.left, told.formed_s) == ("empty", 2, 0, 3.0)
    assert told.predicted_s == pytest.approx(0.01 + 0.01 / 7), "t(2), read off the sizes that were seen"
    assert (told.run_s, told.ran_s, told.ended_s, told.instance) == (None, None, None, None)


def test_a_batch_as_large_as_allowed() -> None:
    it = Bench(BatchLimits(max_batch_size=4))
    it.submit(6)
    first, second = it.formed(), it.formed()
    assert (first.closed_by, first.size, first.left) == ("full", 4, 2)
    assert (second.closed_by, second.size, second.left) == ("empty", 2, 0)


def test_a_batch_than_which_no_larger_one_is_worth_it_and_one_that_probes() -> None:
    it = Bench(BatchLimits(max_batch_size=8))
    it.batcher.learn(1, 0.010)
    it.batcher.learn(8, 0.080)
    it.submit(PROBE_EVERY * 2 + 8)
    told = [it.formed() for _ in range(PROBE_EVERY * 2)]
    assert {each.closed_by for each in told[:-1]} == {"efficient"}
    assert {each.size for each in told[:-1]} == {1}
    assert (told[-1].closed_by, told[-1].size) == ("probe", 2)


def test_a_batch_that_one_more_would_make_too_late() -> None:
    it = Bench(BatchLimits(max_batch_size=8))
    for images in (1, 2, 8):
        it.batcher.learn(images, 0.010 + 0.001 * images)
    it.submit(1, deadline_s=0.0125)
    it.submit(3)
    told = it.formed()
    assert (told.closed_by, told.size, told.left) == ("deadline", 2, 2)


def test_a_batch_that_waited_for_company_in_vain() -> None:
    it = Bench(BatchLimits(max_batch_size=8, max_queue_delay_s=0.5))
    it.submit(1)
    assert it.batcher.take(block=False) == []
    it.clock.now_s = 0.6
    assert it.formed().closed_by == "delay"
    it.submit(1)
    it.batcher.drain()
    assert it.formed().closed_by == "empty", "while the server drains nobody is waited for"


def test_what_is_shared_with_another_free_instance() -> None:
    it = Bench()
    batches: list[list[Job] | None] = []
    threads = [threading.Thread(target=lambda: batches.append(it.batcher.take())) for _ in range(2)]
    for thread in threads:
        thread.start()
    ready = threading.Event()
    for _ in range(int(PATIENCE_S / 0.005)):
        with it.batcher._lock:
            if it.batcher._idle == 2:
                break
        ready.wait(0.005)
    it.submit(2)
    for thread in threads:
        thread.join(PATIENCE_S)
    told = [timeline_of(batch) for batch in batches if batch is not None]
    assert sorted((each.closed_by, each.size, each.left) for each in told) == [("empty", 1, 0), ("shared", 1, 1)]


def test_nothing_is_kept_unless_somebody_reads_it() -> None:
    batcher = Batcher(BatchLimits(), lambda late: None, HandClock())
    batcher.submit([make_job()])
    batch = batcher.take(block=False)
    assert batch
    assert batch[0].batch is None


@pytest.mark.parametrize("size", range(1, 9))
def test_a_batch_that_left_somebody_waiting_has_a_reason_for_it(size: int) -> None:
    """Whatever the sizes: only one that was full, or left nobody, is told as such."""
    for left in range(4):
        for wanted in range(size, 9):
            for share in range(size, 9):
                for bucket in range(size, min(wanted, share) + 1):
                    sizes = {"wanted": wanted, "share": share, "bucket": bucket}
                    why = closed_by(size, left, **sizes, efficient=4, largest=8, company=False)
                    assert (why == "full") == (size == 8)
                    assert (why == "empty") == (left == 0 and size < 8)
                    assert (why == "deadline") == (left > 0 and size < bucket)
                    assert (why == "bucket") == (left > 0 and size == bucket < min(wanted, share) and size < 8)
