"""The last batches: what is kept, how much of it, and that its figures add up."""

import sys

import pytest

from model_zoo.errors import UndecodableImageError, UnknownModelError
from model_zoo.header import Header
from server.batch_history import KEPT, BatchHistories, BatchHistory
from server.batch_timeline import BatchTimeline
from server.errors import InternalError
from server.job import Answer, Job, Prediction, StageTimes
from tests.server.jobs import HandClock, make_job

BEST = Prediction(0, "red", 0.9)


def batch_of(*results: Answer | BaseException, formed_s: float = 1.0) -> list[Job]:
    """A batch that was run, its pictures a tenth of a second in line."""
    timeline = BatchTimeline(formed_s, "empty", len(results), 0, 0.02)
    timeline.instance, timeline.run_s, timeline.ran_s = 0, formed_s + 0.01, formed_s + 0.03
    timeline.ended_s, timeline.measured_s, timeline.ran = formed_s + 0.031, 0.031, len(results)
    jobs = []
    for result in results:
        job = make_job()
        job.arrived_s, job.batch, job.result = formed_s - 0.1, timeline, result
        job.header = Header("jpeg", 640, 480, 1)
        job.times = StageTimes(0.1, 0.006, 0.004, 0.02, 0.001)
        jobs.append(job)
    return jobs


def answer(*, reused: bool = False) -> Answer:
    return Answer([BEST], BEST, 640, 480, StageTimes(), 1, reused)


def test_a_batch_is_told_with_its_pictures() -> None:
    histories = BatchHistories(HandClock(5.0))
    histories.of("shoes").add(3, batch_of(answer(), UndecodableImageError("broken"), InternalError("lost")))
    told = histories.told(None, KEPT)
    assert told["kept_per_model"] == KEPT
    (batch,) = told["batches"]
    assert (batch["model"], batch["version"], batch["id"], batch["instance"]) == ("shoes", 3, 1, 0)
    assert (batch["size"], batch["errors"], batch["closed_by"]) == (3, 2, "empty")
    assert (batch["run_ms"], batch["ran_ms"], batch["ended_ms"]) == (10.0, 30.0, 31.0)
    assert (batch["predicted_ms"], batch["measured_ms"]) == (20.0, 31.0)
    assert [picture["outcome"] for picture in batch["pictures"]] == ["ok", "undecodable_image", "internal"]
    picture = batch["pictures"][0]
    assert (picture["kind"], picture["width"], picture["height"]) == ("post", 640, 480)
    assert (picture["arrived_ms"], picture["total_ms"]) == (-100.0, 131.0)
    assert sum(picture["timing_ms"].values()) == pytest.approx(131.0)


def test_the_ring_is_bounded_and_the_newest_come_first() -> None:
    history = BatchHistory(kept=3)
    for number in range(10):
        history.add(1, batch_of(answer(), formed_s=float(number)))
    assert [kept.number for kept in history.newest_first()] == [10, 9, 8]


def test_models_have_a_ring_each_and_are_told_in_one_order() -> None:
    histories = BatchHistories(HandClock(9.0))
    for formed_s, name in ((1.0, "shoes"), (2.0, "hats"), (3.0, "shoes")):
        histories.of(name).add(1, batch_of(answer(), formed_s=formed_s))
    assert [(each["model"], each["id"]) for each in histories.told(None, 2)["batches"]] == [("shoes", 2), ("hats", 1)]
    assert [each["id"] for each in histories.told("shoes", KEPT)["batches"]] == [2, 1]
    with pytest.raises(UnknownModelError):
        histories.told("coats", KEPT)


def test_a_later_version_goes_on_with_the_ring_of_its_name() -> None:
    histories = BatchHistories()
    histories.of("shoes").add(1, batch_of(answer()))
    histories.of("shoes").add(2, batch_of(answer(), formed_s=2.0))
    assert [(each["version"], each["id"]) for each in histories.told("shoes", KEPT)["batches"]] == [(2, 2), (1, 1)]


def test_a_frame_that_was_not_run_says_so() -> None:
    histories = BatchHistories()
    jobs = batch_of(answer(reused=True))
    jobs[0].stream = "camera"
    histories.of("shoes").add(1, jobs)
    (picture,) = histories.told(None, 1)["batches"][0]["pictures"]
    assert (picture["kind"], picture["reused"], picture["outcome"]) == ("frame", True, "ok")


def test_neither_pictures_nor_answers_are_kept_in_memory() -> None:
    history = BatchHistory()
    jobs = batch_of(answer())
    result, job = jobs[0].result, jobs[0]
    before = sys.getrefcount(job), sys.getrefcount(result)
    history.add(1, jobs)
    assert (sys.getrefcount(job), sys.getrefcount(result)) == before


def test_a_batch_that_was_not_watched_is_passed_over() -> None:
    history = BatchHistory()
    history.add(1, [make_job()])
    assert history.newest_first() == []
