"""Frames that are not run again, frames that are smoothed, and frames that are explained, through an instance."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from model_zoo.bundle import Bundle
from model_zoo.header import Header
from model_zoo.preprocess import PrepareTimes, prepare
from model_zoo.spec import InputSpec, OutputSpec
from server.admission import BatchLimits
from server.batcher import Batcher
from server.errors import InternalError
from server.frame_history import FrameHistory
from server.instance import Instance
from server.job import Answer, Job, JobOptions
from tests.server.gated_backend import GatedBackend, Outputs
from tests.server.jobs import HandClock
from tests.server.mean_colour import SIDE, expected_logits, write_mean_colour
from tests.server.test_instance import flat, job_of

LOGITS = OutputSpec("logits", "logits", "softmax")
MAP = OutputSpec("class_activation", "class_activation", "none")


class ExplainingBackend(GatedBackend):
    """Also says where: each picture's red, pixel by pixel. ``asked`` has what each run was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[bool] = []

    def run(self, batch: NDArray[np.uint8], explain: bool = False) -> Outputs:
        self.asked.append(explain)
        outputs = super().run(batch)
        return (*outputs, batch[..., 0].astype(np.float32)) if explain else outputs


@pytest.fixture
def backend() -> ExplainingBackend:
    return ExplainingBackend()


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return write_mean_colour(tmp_path)


@pytest.fixture
def batcher() -> Batcher:
    return Batcher(BatchLimits(max_batch_size=8), lambda refused: None)


@pytest.fixture
def instance(bundle: Bundle, backend: ExplainingBackend, batcher: Batcher) -> Instance:
    return Instance(0, backend, bundle, batcher, lambda batch: None)


@pytest.fixture
def explaining(bundle: Bundle, backend: ExplainingBackend, batcher: Batcher) -> Instance:
    spec = replace(bundle.spec, outputs=(LOGITS, MAP))
    return Instance(0, backend, replace(bundle, spec=spec), batcher, lambda batch: None)


def pixels(*colour: int) -> NDArray[np.uint8]:
    return np.full((SIDE, SIDE, 3), colour, np.uint8)


def frame(colour: tuple[int, int, int], history: FrameHistory | None = None, *, explain: bool = False) -> Job:
    return Job(pixels(*colour), None, math.inf, options=JobOptions(explain=explain), stream="s", history=history)


def answer(job: Job) -> Answer:
    assert isinstance(job.result, Answer), job.result
    return job.result


def softmax(colour: tuple[int, int, int]) -> NDArray[np.float64]:
    powers = np.exp(expected_logits(pixels(*colour)[None])[0].astype(np.float64))
    scores: NDArray[np.float64] = powers / powers.sum()
    return scores


def scores(job: Job) -> list[float]:
    by_class = {one.index: one.score for one in answer(job).predictions}
    return [by_class[index] for index in range(3)]


def test_a_frame_like_the_last_is_told_the_same_and_not_run(instance: Instance, backend: ExplainingBackend) -> None:
    history = FrameHistory(gate=2.0)
    first, again, other = (frame(colour, history) for colour in ((90, 0, 0), (92, 0, 0), (120, 0, 0)))
    assert [instance.serve([job]) for job in (first, again, other)] == [1, 0, 1]
    assert backend.batches == [1, 1]
    assert [answer(job).reused for job in (first, again, other)] == [False, True, False]
    assert answer(again).predictions == answer(first).predictions
    assert (answer(again).batch_size, answer(again).width) == (1, SIDE)


def test_what_is_reused_is_made_again_for_this_frame_s_options_and_size(instance: Instance) -> None:
    history = FrameHistory(gate=2.0)
    instance.serve([frame((200, 0, 0), history)])
    job = job_of(flat(200, 0, 0), top_k=1)
    job.history, job.stream = history, "s"
    assert instance.serve([job]) == 0
    assert answer(job).reused
    assert [one.label for one in answer(job).predictions] == ["red"]
    assert (answer(job).width, answer(job).height) == (10, 14)


def test_a_reused_answer_has_times_of_its_own(instance: Instance) -> None:
    history = FrameHistory(gate=2.0)
    first, again = job_of(flat(200, 0, 0)), job_of(flat(200, 0, 0))
    for job in (first, again):
        job.history, job.stream = history, "s"
        instance.serve([job])
    times = answer(again).times
    assert times is not answer(first).times
    assert times.infer == 0.0
    assert min(times.decode, times.preprocess, times.postprocess) > 0
    assert times.queue >= 0


def test_the_gate_saves_the_run_inside_a_mixed_batch(instance: Instance, backend: ExplainingBackend) -> None:
    histories = [FrameHistory(gate=2.0) for _ in range(3)]
    for history in histories:
        instance.serve([frame((200, 0, 0), history)])
    post = frame((0, 0, 250))
    batch = [
        frame((0, 250, 0), histories[0]),
        frame((200, 0, 0), histories[1]),
        post,
        frame((201, 0, 0), histories[2]),
        frame((0, 0, 200)),
    ]
    assert instance.serve(batch) == 3
    assert backend.batches == [1, 1, 1, 3]
    assert [answer(job).best.label for job in batch] == ["green", "red", "blue", "red", "blue"]
    assert [answer(job).reused for job in batch] == [False, True, False, True, False]
    assert answer(post).batch_size == 3
    later = frame((0, 251, 0), histories[0])
    assert instance.serve([later]) == 0, "the history has learned of the frame that was run among them"
    assert answer(later).best.label == "green"


def test_a_run_that_failed_is_not_remembered(instance: Instance, backend: ExplainingBackend) -> None:
    history = FrameHistory(gate=2.0, smoothing=0.5)
    for fault in (lambda outputs: outputs[:0], lambda outputs: tuple(output * np.nan for output in outputs)):
        backend.fault = fault
        bad = frame((200, 0, 0), history)
        instance.serve([bad])
        assert isinstance(bad.result, InternalError)
    backend.fault = None
    good = frame((200, 0, 0), history)
    assert instance.serve([good]) == 1
    assert scores(good) == pytest.approx(softmax((200, 0, 0)), abs=1e-5)


def test_an_instance_teaches_runs_only(
    instance: Instance, backend: ExplainingBackend, batcher: Batcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Decoding takes 1 s and a run 0.1 s on this clock; what the gate spares is in no figure."""
    clock = HandClock()
    instance._clock = instance._preparation._clock = clock

    def slowly(data: bytes, header: Header, spec: InputSpec, times: PrepareTimes) -> NDArray[np.uint8]:
        clock.now_s += 1.0
        times.decode_s = 1.0
        return prepare(data, header, spec)

    def run_for_a_while(outputs: Outputs) -> Outputs:
        clock.now_s += 0.1
        return outputs

    monkeypatch.setattr("server.preparation.prepare", slowly)
    backend.fault = run_for_a_while
    history = FrameHistory(gate=2.0)

    def of(colour: tuple[int, int, int], own: FrameHistory | None) -> Job:
        job = job_of(flat(*colour))
        job.stream, job.history = object(), own
        return job

    instance._serve_one([of((200, 0, 0), history)])
    assert batcher.learned() == pytest.approx({1: 1.1})
    instance._serve_one([of((200, 0, 0), history)])
    assert batcher.learned() == pytest.approx({1: 1.1}), "nothing was run, nothing is learned"
    instance._serve_one([of((200, 0, 0), history), of((1, 2, 3), None), of((200, 0, 0), history)])
    assert batcher.learned() == pytest.approx({1: 1.1}), "one was run; the two others' decoding is not its time"
    instance._serve_one([of((1, 2, 3), None), of((200, 0, 0), history), of((3, 2, 1), None)])
    assert batcher.learned() == pytest.approx({1: 1.1, 2: 2.1})


def test_smoothed_scores_are_told_and_ranked(instance: Instance) -> None:
    history = FrameHistory(smoothing=0.75)
    red, green = (30, 20, 20), (20, 30, 20)
    jobs = [frame(red, history), frame(green, history), frame(green, history), frame(green, history)]
    for job in jobs:
        instance.serve([job])
    expected = [softmax(red)]
    for _ in range(3):
        expected.append(0.75 * expected[-1] + 0.25 * softmax(green))
    for job, wanted in zip(jobs, expected, strict=True):
        assert scores(job) == pytest.approx(wanted, abs=1e-5)
    assert [answer(job).best.label for job in jobs] == ["red", "red", "red", "green"]


def test_maps_are_asked_for_only_when_somebody_wants_one(explaining: Instance, backend: ExplainingBackend) -> None:
    plain, curious = frame((200, 0, 0)), frame((100, 0, 0), explain=True)
    explaining.serve([plain])
    assert backend.asked == [False]
    explaining.serve([plain, curious])
    assert backend.asked == [False, True]
    assert answer(plain).class_activation is None
    shown = answer(curious).class_activation
    assert shown is not None
    np.testing.assert_array_equal(shown, np.full((SIDE, SIDE), 100, np.float32))


def test_a_model_without_maps_answers_without(instance: Instance, backend: ExplainingBackend) -> None:
    job = frame((200, 0, 0), explain=True)
    instance.serve([job])
    assert backend.asked == [False]
    assert answer(job).class_activation is None


def test_an_engine_that_gives_no_map_still_answers(explaining: Instance, backend: ExplainingBackend) -> None:
    backend.run = lambda batch, explain=False: (expected_logits(batch),)  # type: ignore[method-assign]
    job = frame((0, 200, 0), explain=True)
    explaining.serve([job])
    assert (answer(job).best.label, answer(job).class_activation) == ("green", None)


def test_a_reused_answer_has_the_map_of_the_frame_that_was_run(explaining: Instance) -> None:
    history = FrameHistory(gate=2.0)
    plain, first, again, unasked = (frame((90, 0, 0), history, explain=number in (1, 2)) for number in range(4))
    assert [explaining.serve([job]) for job in (plain, first, again, unasked)] == [1, 1, 0, 0]
    assert answer(again).class_activation is answer(first).class_activation is not None
    assert answer(unasked).class_activation is None


def test_frames_of_a_model_without_maps_are_reused_whatever_they_ask(instance: Instance) -> None:
    history = FrameHistory(gate=2.0)
    jobs = [frame((90, 0, 0), history, explain=True) for _ in range(2)]
    assert [instance.serve([job]) for job in jobs] == [1, 0]
