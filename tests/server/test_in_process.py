import io
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from model_zoo.errors import UndecodableImageError
from server.backends.errors import BackendError
from server.errors import InternalError
from server.in_process import InProcess
from server.job import JobOptions
from server.served_model import LoadedModel
from tests.server.gated_backend import loaded_with
from tests.server.mean_colour import expected_logits


class WatchedBackend:
    """Answers as the graph would; fails on white pictures; notices two callers at once."""

    name = "watched"
    device = "cpu"

    def __init__(self) -> None:
        self.runs = 0
        self.closed = False
        self.shared = False
        self._inside = threading.Lock()

    def run(self, batch: NDArray[np.uint8], explain: bool = False) -> tuple[NDArray[np.float32], ...]:
        self.shared |= not self._inside.acquire(blocking=False)
        try:
            self.runs += 1
            if (batch == 255).all():
                raise BackendError("white")
            return (expected_logits(batch),)
        finally:
            self._inside.release()

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def backends() -> list[WatchedBackend]:
    return [WatchedBackend(), WatchedBackend()]


@pytest.fixture
def loaded(tmp_path: Path, backends: list[WatchedBackend]) -> LoadedModel:
    return loaded_with(tmp_path, backends, max_batch_size=1)


def png(colour: tuple[int, int, int]) -> bytes:
    encoded = io.BytesIO()
    Image.new("RGB", (10, 14), colour).save(encoded, "PNG")
    return encoded.getvalue()


def test_many_callers_share_the_instances_and_get_their_own_answers(
    loaded: LoadedModel, backends: list[WatchedBackend]
) -> None:
    colours = [(200, 0, 0), (0, 200, 0), (0, 0, 200)] * 20
    with InProcess(loaded) as model, ThreadPoolExecutor(8) as pool:
        assert model.instances == 2
        answers = list(pool.map(lambda colour: model.answer(png(colour), JobOptions(top_k=1)), colours))
    assert [answer.best.label for answer in answers] == ["red", "green", "blue"] * 20
    assert {(answer.width, answer.height, len(answer.predictions)) for answer in answers} == {(10, 14, 1)}
    assert sum(backend.runs for backend in backends) == 60
    assert not any(backend.shared for backend in backends)


def test_closing_closes_every_backend(loaded: LoadedModel, backends: list[WatchedBackend]) -> None:
    with InProcess(loaded):
        pass
    assert all(backend.closed for backend in backends)


def test_errors_are_raised_and_the_instance_serves_on(loaded: LoadedModel) -> None:
    with InProcess(loaded) as model:
        for _ in range(3):  # more often than there are instances: none is lost
            with pytest.raises(UndecodableImageError):
                model.answer(b"no picture", JobOptions())
            with pytest.raises(UndecodableImageError):
                model.answer(png((1, 2, 3))[:45], JobOptions())
            with pytest.raises(InternalError):
                model.answer(png((255, 255, 255)), JobOptions())
        assert model.answer(png((0, 9, 0)), JobOptions()).best.label == "green"
