"""One instance without its thread: what it makes of a batch."""

import math
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model_zoo.header import PictureLimits, read_header
from server.admission import BatchLimits
from server.batcher import Batcher
from server.errors import InternalError
from server.instance import Instance
from server.job import Answer, Job, JobOptions
from tests.pictures import encode, oriented, picture
from tests.server.gated_backend import GatedBackend
from tests.server.mean_colour import SIDE, write_mean_colour


@pytest.fixture
def backend() -> GatedBackend:
    return GatedBackend()


@pytest.fixture
def instance(tmp_path: Path, backend: GatedBackend) -> Instance:
    batcher = Batcher(BatchLimits(max_batch_size=4), lambda refused: None)
    return Instance(0, backend, write_mean_colour(tmp_path), batcher, lambda batch: None)


def job_of(data: bytes, **options: float) -> Job:
    limits = PictureLimits()
    job = Job(data, read_header(data, limits), math.inf, options=JobOptions(**options))  # type: ignore[arg-type]
    job.arrived_s = time.monotonic()
    return job


def flat(*colour: int) -> bytes:
    return encode(Image.new("RGB", (10, 14), colour), "png")


def answer(job: Job) -> Answer:
    assert isinstance(job.result, Answer), job.result
    return job.result


def test_top_k_threshold_and_the_best_class(instance: Instance) -> None:
    jobs = [
        job_of(flat(200, 100, 0), top_k=2),
        job_of(flat(200, 100, 0), top_k=1000, threshold=0.9),
        job_of(flat(0, 0, 9)),
    ]
    assert instance.serve(jobs) == 3
    assert [one.label for one in answer(jobs[0]).predictions] == ["red", "green"]
    assert [one.label for one in answer(jobs[1]).predictions] == ["red"]
    assert [one.label for one in answer(jobs[2]).predictions] == ["blue", "red", "green"]
    nothing = job_of(flat(0, 200, 0), threshold=1.5)
    instance.serve([nothing])
    assert answer(nothing).predictions == []
    assert answer(nothing).best.label == "green", "the best is known whatever the threshold"


@pytest.mark.parametrize("orientation", range(1, 9))
def test_size_is_the_picture_s_as_shown(instance: Instance, orientation: int) -> None:
    job = job_of(oriented("jpeg", orientation))
    instance.serve([job])
    assert (answer(job).width, answer(job).height) == picture().size


def test_pixels_at_the_input_size_skip_decoding(instance: Instance) -> None:
    job = Job(np.full((SIDE, SIDE, 3), (0, 0, 250), np.uint8), None, math.inf)
    instance.serve([job])
    assert answer(job).best.label == "blue"
    assert (answer(job).width, answer(job).height) == (SIDE, SIDE)
    assert (job.times.decode, job.times.preprocess) == (0.0, 0.0)


def test_stage_times_are_all_there_and_add_up(instance: Instance) -> None:
    started_s = time.monotonic()
    jobs = [job_of(encode(picture(640, 480), "jpeg")) for _ in range(4)]
    instance.serve(jobs)
    took_s = time.monotonic() - started_s
    for job in jobs:
        times = answer(job).times
        assert min(times.queue, times.preprocess, times.infer, times.postprocess) >= 0
        assert times.decode > 0
        assert times.queue + times.decode + times.preprocess + times.infer + times.postprocess <= took_s
    assert {answer(job).batch_size for job in jobs} == {4}
    assert max(answer(job).times.queue for job in jobs) >= sum(answer(job).times.decode for job in jobs[1:])


def test_a_finished_job_is_passed_over(instance: Instance, backend: GatedBackend) -> None:
    gone, kept = job_of(flat(200, 0, 0)), job_of(flat(0, 200, 0))
    gone.finished = True
    assert instance.serve([gone, kept]) == 1
    assert answer(kept).best.label == "green"
    assert backend.batches == [1]


def test_a_batch_of_bad_pictures_is_not_run(instance: Instance, backend: GatedBackend) -> None:
    jobs = [job_of(flat(200, 0, 0)) for _ in range(2)]
    for job in jobs:
        job.picture = bytes(job.picture)[:-40]
    assert instance.serve(jobs) == 0
    assert backend.batches == []
    assert all(isinstance(job.result, Exception) for job in jobs)


def test_a_failed_run_teaches_the_latency_model_nothing(instance: Instance, backend: GatedBackend) -> None:
    assert instance.serve([job_of(flat(200, 0, 0))]) == 1
    backend.fault = lambda outputs: outputs[:0]
    job = job_of(flat(200, 0, 0))
    assert instance.serve([job]) == 0
    assert isinstance(job.result, InternalError)
