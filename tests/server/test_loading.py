"""How many instances a model gets, how large its batches are, and on which device."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model_zoo.architectures import ARCHITECTURES
from model_zoo.bundle import Bundle
from server.backends import BACKENDS, Backend, BackendOptions
from server.config import Config
from server.loading import GPU_INSTANCES, batch_limits, load
from tests.server.fake_bundles import MeanColour


class OnGpu:
    """Answers as the bundle's check wants it, and says that a GPU did."""

    name = "onnxruntime"
    device = "cuda"
    precision = "fp32"

    def __init__(self, bundle: Bundle, options: BackendOptions) -> None:
        self.options = options
        self._check = bundle.check()

    def run(self, batch: np.ndarray, explain: bool = False) -> tuple[np.ndarray, ...]:
        rows = [int((self._check.pictures == picture).all(axis=(1, 2, 3)).argmax()) for picture in batch]
        return tuple(values[rows] for values in self._check.outputs.values())

    def close(self) -> None:
        pass


def load_on_gpu(bundle: Bundle, options: BackendOptions) -> Backend:
    """For the table of engines."""
    return OnGpu(bundle, options)


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    """Mean colour."""
    return MeanColour(network=True).write(tmp_path)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """ONNX Runtime, with a GPU."""
    monkeypatch.setitem(BACKENDS, "onnxruntime", f"{__name__}:load_on_gpu")
    assert sys.modules[__name__].load_on_gpu is load_on_gpu


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize(
    ("config", "instances", "largest"),
    [
        (Config(), GPU_INSTANCES, 256),
        (Config(instances=1, max_batch_size=32), 1, 32),
    ],
)
def test_a_gpu_has_three_instances_and_large_batches(
    config: Config, instances: int, largest: int, bundle: Bundle
) -> None:
    config = replace(config, device="cuda", backend="onnxruntime")
    loaded = load(config, bundle)
    assert len(loaded.backends) == instances
    assert loaded.max_batch_size == largest
    assert {one.options.max_batch_size for one in loaded.backends if isinstance(one, OnGpu)} == {largest}


@pytest.mark.usefixtures("gpu")
def test_a_graph_of_fixed_size_keeps_it_on_a_gpu(tmp_path: Path) -> None:
    config = Config(device="cuda", backend="onnxruntime")
    assert load(config, MeanColour(rows=3).write(tmp_path)).max_batch_size == 3


def test_a_cpu_has_batches_of_eight(bundle: Bundle) -> None:
    loaded = load(Config(backend="onnxruntime", device="cpu", instances=2), bundle)
    assert (len(loaded.backends), loaded.max_batch_size) == (2, 8)


def test_torch_serves_a_network_on_a_cpu_when_it_is_named(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ARCHITECTURES, "mean_colour", "tests.server.mean_colour_network:mean_colour")
    loaded = load(Config(backend="torch", instances=2), bundle)
    assert [one.name for one in loaded.backends] == ["torch", "torch"]
    assert loaded.verdict.passed
    assert batch_limits(Config(), loaded).sizes == (1, 2, 4, 8)
    batch = bundle.check().pictures
    np.testing.assert_allclose(loaded.backends[1].run(batch.copy())[0], bundle.check().outputs["logits"], atol=1e-3)
