"""An instance whose engine resizes pictures: which batches go that way, and that nothing else changes."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from model_zoo.architectures import ARCHITECTURES
from model_zoo.errors import PictureError
from model_zoo.preprocess import Stored
from server.admission import BatchLimits
from server.backends import Backend, BackendOptions, PreparingBackend, Ranked, preparing
from server.backends.torch import load
from server.backends.torch_engine.backend import TorchBackend
from server.backends.torch_engine.runner import Pictures
from server.batcher import Batcher
from server.decoders import decoders_for
from server.errors import AbandonedError, InternalError
from server.frame_history import FrameHistory
from server.instance import Instance
from server.job import Answer, Job, JobOptions
from tests.pictures import encode, oriented, picture
from tests.server.fake_bundles import MeanColour
from tests.server.test_instance import job_of

OPTIONS = BackendOptions("cpu", 1, 8)
KIND = MeanColour(network=True, height=32, width=24)


class Watched:
    """Passes everything on, and counts which way pictures came."""

    def __init__(self, backend: PreparingBackend) -> None:
        self.name, self.device, self.precision = backend.name, backend.device, backend.precision
        self.largest_picture_bytes = backend.largest_picture_bytes
        self.prepared = self.stored = 0
        self._backend = backend

    def run(self, batch: NDArray[np.uint8], explain: bool = False) -> tuple[NDArray[np.float32], ...]:
        self.prepared += len(batch)
        return self._backend.run(batch, explain)

    def run_stored(self, pictures: Sequence[Stored], explain: bool = False) -> tuple[NDArray[np.float32], ...]:
        self.stored += len(pictures)
        return self._backend.run_stored(pictures, explain)

    def close(self) -> None:
        self._backend.close()


class Ranking(Watched):
    """Also lets the device find the best ``most`` classes."""

    def __init__(self, backend: TorchBackend, most: int) -> None:
        super().__init__(backend)
        self.ranked_classes = most
        self.ranked = 0
        self.device_seconds = backend.device_seconds
        self._torch = backend

    def run_ranked(self, pictures: Pictures) -> Ranked:
        self.ranked += len(pictures)
        told = self._torch.run_ranked(pictures)
        return Ranked(told.indices[:, : self.ranked_classes], told.scores[:, : self.ranked_classes])


@pytest.fixture(autouse=True)
def architecture(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests' own network is in the table."""
    monkeypatch.setitem(ARCHITECTURES, "mean_colour", "tests.server.mean_colour_network:mean_colour")


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    backend = preparing(load(KIND.write(tmp_path), replace(OPTIONS, extra={"torch.preprocess": "exact"})))
    assert backend is not None
    return Watched(backend)


def instance_of(backend: Backend, store: Path, decoders: Executor | None = None) -> Instance:
    batcher = Batcher(BatchLimits(max_batch_size=8), lambda refused: None)
    return Instance(0, backend, KIND.write(store), batcher, lambda batch: None, decoders)


def scores(job: Job) -> list[tuple[int, float]]:
    assert isinstance(job.result, Answer), job.result
    return [(one.index, pytest.approx(one.score, abs=2e-3)) for one in job.result.predictions]


def photos() -> list[Job]:
    files = [oriented("jpeg", orientation) for orientation in range(1, 9)]
    return [job_of(data, top_k=3) for data in files]


def test_pictures_of_all_kinds_are_answered_as_by_the_cpu(watched: Watched, tmp_path: Path) -> None:
    others = [("png", (31, 200)), ("jpeg", (640, 480)), ("webp", (24, 32)), ("bmp", (1, 1)), ("gif", (300, 20))]
    files = [encode(picture(*size), kind) for kind, size in others]
    files += [encode(picture(90, 60).convert("L"), "jpeg"), oriented("tiff", 6)]
    by_cpu = instance_of(load(KIND.write(tmp_path), OPTIONS), tmp_path)
    for here, there in zip(
        (photos(), [job_of(data) for data in files]), (photos(), [job_of(data) for data in files]), strict=True
    ):
        assert instance_of(watched, tmp_path).serve(here) == len(here)
        by_cpu.serve(there)
        for one, other in zip(here, there, strict=True):
            assert [(p.index, p.score) for p in one.result.predictions] == scores(other)  # type: ignore[union-attr]
            assert isinstance(one.result, Answer) and isinstance(other.result, Answer)
            assert (one.result.width, one.result.height) == (other.result.width, other.result.height)
    assert (watched.prepared, watched.stored) == (0, len(files) + 8)


def test_a_broken_picture_fails_alone(watched: Watched, tmp_path: Path) -> None:
    whole = encode(picture(640, 480), "jpeg")
    gone = job_of(whole)
    gone.finished = True
    batch = [job_of(whole), job_of(whole[: len(whole) // 2]), gone, job_of(whole)]
    assert instance_of(watched, tmp_path).serve(batch) == 2
    assert isinstance(batch[1].result, PictureError)
    assert isinstance(batch[2].result, AbandonedError)
    assert scores(batch[0]) == scores(batch[3])
    assert watched.stored == 2


def test_times_are_told(watched: Watched, tmp_path: Path) -> None:
    jobs = photos()
    instance_of(watched, tmp_path).serve(jobs)
    assert all(job.times.decode > 0 and job.times.infer > 0 and job.times.preprocess == 0 for job in jobs)


def test_pixels_at_the_model_s_size_and_frames_of_streams_are_prepared_here(watched: Watched, tmp_path: Path) -> None:
    instance = instance_of(watched, tmp_path)
    pixels = Job(np.full((32, 24, 3), 90, np.uint8), None, float("inf"))
    assert instance.serve([*photos()[:2], pixels]) == 3
    frame = photos()[0]
    frame.history = FrameHistory(0.5)
    assert instance.serve([frame]) == 1
    assert (watched.prepared, watched.stored) == (4, 0)


def test_a_picture_too_large_for_the_device_is_prepared_here(watched: Watched, tmp_path: Path) -> None:
    watched.largest_picture_bytes = 640 * 480 * 3 - 1
    instance = instance_of(watched, tmp_path)
    assert instance.serve([job_of(encode(picture(640, 480), "jpeg"))]) == 1
    assert (watched.prepared, watched.stored) == (1, 0)
    assert instance.serve([job_of(encode(picture(639, 480), "jpeg"))]) == 1
    assert (watched.prepared, watched.stored) == (1, 1)


def test_decoders_share_a_batch_and_change_nothing(watched: Watched, tmp_path: Path) -> None:
    """Each waits until another is at work, too."""
    together = threading.Barrier(2)

    class Pair(ThreadPoolExecutor):
        def submit(self, act: Callable[..., Any], /, *given: Any, **named: Any) -> Future[Any]:  # noqa: ANN401
            def meet() -> Any:  # noqa: ANN401
                together.wait(timeout=60)
                return act(*given, **named)

            return super().submit(meet)

    whole = encode(picture(640, 480), "jpeg")
    broken = job_of(whole[: len(whole) // 2])
    with Pair(2) as decoders:
        batch = [*photos()[:4], broken, *photos()[4:7]]
        assert instance_of(watched, tmp_path, decoders).serve(batch) == 7
        pixels = [Job(np.full((32, 24, 3), level, np.uint8), None, float("inf")) for level in (20, 200)]
        assert instance_of(watched, tmp_path, decoders).serve(pixels) == 2
    assert isinstance(broken.result, PictureError)
    alone = [*photos()[:4], *photos()[4:7]]
    instance_of(watched, tmp_path).serve(alone)
    for one, other in zip([job for job in batch if job is not broken], alone, strict=True):
        assert scores(one) == scores(other)
    assert scores(pixels[0]) != scores(pixels[1])


def test_a_fault_of_a_decoder_is_its_picture_s_alone(
    watched: Watched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> Stored:
        raise MemoryError

    jobs = photos()
    instance = instance_of(watched, tmp_path)
    assert instance.serve(jobs[:1]) == 1
    monkeypatch.setattr("server.preparation.decode_for", fail)
    assert instance.serve(jobs[1:2]) == 0
    assert isinstance(jobs[1].result, InternalError)


@pytest.fixture
def ranks(tmp_path: Path) -> Ranking:
    backend = load(KIND.write(tmp_path), replace(OPTIONS, extra={"torch.preprocess": "exact"}))
    assert isinstance(backend, TorchBackend)
    return Ranking(backend, 4)


def test_the_best_classes_alone_come_back_unless_somebody_wants_more(ranks: Ranking, tmp_path: Path) -> None:
    instance = instance_of(ranks, tmp_path)
    few, many = photos(), photos()
    many[3].options = JobOptions(top_k=5)
    assert instance.serve(few) == instance.serve(many) == 8
    assert (ranks.ranked, ranks.stored) == (8, 8)
    for one, other in zip(few, many, strict=True):
        assert isinstance(other.result, Answer)
        assert scores(one) == [(p.index, p.score) for p in other.result.predictions[:3]]
    assert isinstance(many[3].result, Answer) and len(many[3].result.predictions) == 5
    pixels = Job(np.full((32, 24, 3), 90, np.uint8), None, float("inf"), options=JobOptions(top_k=4, threshold=0.2))
    assert instance.serve([pixels]) == 1
    assert ranks.ranked == 9
    assert isinstance(pixels.result, Answer)
    assert all(one.score >= 0.2 for one in pixels.result.predictions) and pixels.result.best.score > 0


def test_all_classes_are_few_enough_where_the_model_has_no_more(ranks: Ranking, tmp_path: Path) -> None:
    ranks.ranked_classes = KIND.classes
    jobs = [job_of(oriented("jpeg", 1), top_k=1000)]
    instance_of(ranks, tmp_path).serve(jobs)
    assert ranks.ranked == 1
    assert isinstance(jobs[0].result, Answer) and len(jobs[0].result.predictions) == KIND.classes


def test_a_stream_s_frame_needs_all_scores(ranks: Ranking, tmp_path: Path) -> None:
    frame = photos()[0]
    frame.history = FrameHistory(0.5)
    assert instance_of(ranks, tmp_path).serve([frame]) == 1
    assert (ranks.ranked, ranks.prepared) == (0, 1)


def test_rows_for_other_pictures_are_refused(ranks: Ranking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    empty = Ranked(np.zeros((1, 4), np.int64), np.zeros((1, 4), np.float32))
    monkeypatch.setattr(ranks, "run_ranked", lambda pictures: empty)
    jobs = photos()
    assert instance_of(ranks, tmp_path).serve(jobs) == 0
    assert all(isinstance(job.result, InternalError) for job in jobs)


def test_no_finite_score_is_an_error(ranks: Ranking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = Ranked(np.zeros((1, 4), np.int64), np.full((1, 4), np.nan, np.float32))
    monkeypatch.setattr(ranks, "run_ranked", lambda pictures: nothing)
    job = photos()[0]
    instance_of(ranks, tmp_path).serve([job])
    assert isinstance(job.result, InternalError)


def test_the_device_s_time_of_resizing_is_told_as_preprocessing(ranks: Ranking, tmp_path: Path) -> None:
    jobs = photos()
    instance_of(ranks, tmp_path).serve(jobs)
    resized_s = ranks.device_seconds["preprocess"]
    assert resized_s > 0
    assert all(job.times.preprocess == pytest.approx(resized_s) and job.times.infer > 0 for job in jobs)


def test_only_engines_on_a_gpu_have_decoders(watched: Watched) -> None:
    assert decoders_for(watched) is None
    watched.device = "cuda"
    assert decoders_for(watched) is decoders_for(watched) is not None
