"""An instance whose engine decodes JPEGs, from files to answers: torch on the CPU with a decoder in nvJPEG's place."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from model_zoo.architectures import ARCHITECTURES
from model_zoo.errors import PictureError
from server.admission import BatchLimits
from server.backends import Backend, BackendOptions, decoding
from server.backends.onnxruntime import load as load_onnxruntime
from server.backends.torch import load as load_torch
from server.batcher import Batcher
from server.errors import AbandonedError
from server.frame_history import FrameHistory
from server.instance import Instance
from server.job import Answer, Job
from tests.pictures import encode, oriented, picture
from tests.server.fake_bundles import MeanColour
from tests.server.fake_jpeg_decoder import FakeJpegDecoder
from tests.server.test_instance import job_of

KIND = MeanColour(network=True, height=32, width=24)
OPTIONS = BackendOptions("cpu", 1, 16)
ENGINES = {"torch": load_torch, "onnxruntime": load_onnxruntime}
EXTRA = {
    "torch.preprocess": "exact",
    "torch.decode": "gpu",
    "onnxruntime.memory": "torch",
    "onnxruntime.preprocess": "exact",
    "onnxruntime.decode": "gpu",
}


@pytest.fixture(params=ENGINES)
def served(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Instance]:
    """An instance; with a decoder, one that decodes."""
    monkeypatch.setitem(ARCHITECTURES, "mean_colour", "tests.server.mean_colour_network:mean_colour")

    def make(decoder: FakeJpegDecoder | None = None, kind: MeanColour = KIND) -> Instance:
        def open_decoder(place: torch.device, channels: int, kinds: Sequence[str]) -> FakeJpegDecoder | None:
            return decoder

        monkeypatch.setattr("server.backends.torch_engine.proven_decoder.open_decoder", open_decoder)
        bundle = kind.write(tmp_path)
        backend: Backend = ENGINES[request.param](bundle, replace(OPTIONS, extra=EXTRA if decoder else {}))
        assert (decoding(backend) is None) == (decoder is None)
        batcher = Batcher(BatchLimits(max_batch_size=16), lambda refused: None)
        return Instance(0, backend, bundle, batcher, lambda batch: None)

    return make


def files() -> list[bytes]:
    """JPEGs turned in every way, grey, odd and large, and other formats between them."""
    found = [oriented("jpeg", orientation) for orientation in range(1, 9)]
    found += [encode(picture(640, 480), "jpeg"), encode(picture(90, 60).convert("L"), "jpeg")]
    found += [encode(picture(61, 83), "jpeg", progressive=True), encode(picture(50, 70).convert("CMYK"), "jpeg")]
    return [*found[:3], encode(picture(31, 200), "png"), *found[3:], oriented("tiff", 6)]


def told(jobs: list[Job]) -> list[dict[int, float]]:
    answers = [job.result for job in jobs]
    assert all(isinstance(answer, Answer) for answer in answers), answers
    return [{one.index: one.score for one in answer.predictions} for answer in answers if isinstance(answer, Answer)]


@pytest.mark.parametrize("channels", [3, 1])
def test_answers_are_those_of_the_cpu_s_path(served: Callable[..., Instance], channels: int) -> None:
    kind = replace(KIND, channels=channels)
    decoder = FakeJpegDecoder(channels)
    mixed, plain = served(decoder, kind), served(None, kind)
    here, there = [job_of(data) for data in files()], [job_of(data) for data in files()]
    assert mixed.serve(here) == plain.serve(there) == len(files())
    for one, other in zip(told(here), told(there), strict=True):
        assert one == pytest.approx(other, abs=4e-3)
    for job, same in zip(here, there, strict=True):
        assert isinstance(job.result, Answer) and isinstance(same.result, Answer)
        assert (job.result.width, job.result.height) == (same.result.width, same.result.height)
    assert mixed.decoded == {"cpu": 4, "gpu": 10}
    assert plain.decoded == {"cpu": 14, "gpu": 0}


def test_a_broken_file_and_one_that_nobody_waits_for_hurt_nobody(served: Callable[..., Instance]) -> None:
    whole = encode(picture(640, 480), "jpeg")
    gone = job_of(whole)
    gone.finished = True
    cut, damaged = whole[: len(whole) // 2], whole[: len(whole) // 2] + b"\xff\xd9"
    batch = [job_of(whole), job_of(cut), gone, job_of(damaged), job_of(whole)]
    instance = served(FakeJpegDecoder())
    assert instance.serve(batch) == 2
    assert isinstance(batch[1].result, PictureError) and isinstance(batch[3].result, PictureError)
    assert isinstance(batch[2].result, AbandonedError)
    assert told([batch[0]]) == told([batch[4]])
    assert instance.decoded == {"cpu": 0, "gpu": 2}


def test_a_device_that_fails_costs_no_answer(served: Callable[..., Instance]) -> None:
    decoder = FakeJpegDecoder()
    instance = served(decoder)
    decoder.fails = RuntimeError("CUDA error: out of memory")
    for _ in range(5):
        jobs = [job_of(data) for data in files()]
        assert instance.serve(jobs) == len(jobs)
        told(jobs)
    assert instance.decoded == {"cpu": 5 * 14, "gpu": 0}


def test_the_time_of_a_picture_is_that_of_its_batch(served: Callable[..., Instance]) -> None:
    jobs = [job_of(oriented("jpeg", orientation)) for orientation in range(1, 9)]
    served(FakeJpegDecoder()).serve(jobs)
    assert len({job.times.decode for job in jobs}) == 1
    assert jobs[0].times.decode > 0


def test_a_batch_with_a_frame_of_a_stream_is_the_cpu_s(served: Callable[..., Instance]) -> None:
    decoder = FakeJpegDecoder()
    instance = served(decoder)
    decoder.batches.clear()
    jobs = [job_of(oriented("jpeg", orientation)) for orientation in (1, 6)]
    jobs[1].history = FrameHistory(0.5)
    assert instance.serve(jobs) == 2
    assert decoder.batches == []
    assert instance.decoded == {"cpu": 2, "gpu": 0}
