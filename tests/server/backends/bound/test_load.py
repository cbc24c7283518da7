"""From the settings to a session on a GPU, with a library that pretends to have one."""

from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import onnxruntime
import pytest

from model_zoo.bundle import Bundle
from server.backends import BackendOptions
from server.backends.bound.backend import BoundBackend
from server.backends.errors import BackendUnavailableError
from server.backends.onnxruntime import load
from tests.server.backends.bound.conftest import KIND
from tests.server.backends.bound.fake_cuda import FakeSession, Faults, RunOptions, pictures

CUDA, TENSORRT, CPU = "CUDAExecutionProvider", "TensorrtExecutionProvider", "CPUExecutionProvider"


@dataclass
class Library:
    """``onnxruntime`` with CUDA: its sessions and values are on the CPU."""

    starts: bool = True
    asked: list[list[tuple[str, dict[str, str]]]] = field(default_factory=list)

    SessionOptions = onnxruntime.SessionOptions
    ExecutionMode = onnxruntime.ExecutionMode
    GraphOptimizationLevel = onnxruntime.GraphOptimizationLevel
    RunOptions = RunOptions
    OrtValue = SimpleNamespace(
        ortvalue_from_shape_and_type=lambda shape, element, kind, number: (
            onnxruntime.OrtValue.ortvalue_from_shape_and_type(shape, element, "cpu", 0)
        )
    )

    def get_available_providers(self) -> list[str]:
        return [TENSORRT, CUDA, CPU]

    def InferenceSession(
        self, data: bytes, options: object, providers: list[tuple[str, dict[str, str]]], enable_fallback: int
    ) -> FakeSession:
        assert enable_fallback == 0
        self.asked.append(providers)
        running = [name for name, _ in providers] if self.starts else [CPU]
        return LibrarySession(
            onnxruntime.InferenceSession(data, providers=[CPU]), providers[0][1], Faults(), [], running
        )


@dataclass
class LibrarySession(FakeSession):
    """One whose providers are those that were asked for."""

    running: list[str] = field(default_factory=list)

    def get_providers(self) -> list[str]:
        return self.running

    def get_outputs(self) -> list[object]:
        found: list[object] = self.real.get_outputs()
        return found


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Library:
    """In the real one's place; torch sees no GPU."""
    pretended = Library()
    monkeypatch.setattr("server.backends.onnxruntime._import_runtime", lambda: (pretended, (RuntimeError, ValueError)))
    monkeypatch.setattr("server.backends.bound.choices.torch_sees_cuda", lambda: False)
    return pretended


def opened(bundle: Bundle, max_batch_size: int = 6, **extra: str) -> BoundBackend:
    named = {f"onnxruntime.{key}": value for key, value in extra.items()}
    backend = load(bundle, BackendOptions("cuda", 1, max_batch_size, named))
    assert isinstance(backend, BoundBackend)
    return backend


def test_a_gpu_is_used_recorded_and_channels_last(library: Library, bundle: Bundle) -> None:
    backend = opened(bundle, device_id="1")
    assert (backend.name, backend.device, backend.precision) == ("onnxruntime", "cuda", "fp32")
    assert (backend.mode, backend.batch_sizes, backend.largest_batch) == ("graph+nhwc", (1, 2, 4, 6), 6)
    (name, options), rest = library.asked[0]
    assert name == CUDA
    assert options == {
        "device_id": "1",
        "arena_extend_strategy": "kSameAsRequested",
        "enable_cuda_graph": "1",
        "prefer_nhwc": "1",
    }
    assert rest == (CPU, {})
    for one, other in zip(backend.run(pictures(5), explain=True), KIND.expected(pictures(5)), strict=True):
        np.testing.assert_allclose(one, other, atol=2e-3)
    backend.close()


def test_settings_leave_ways_out(library: Library, bundle: Bundle) -> None:
    backend = opened(bundle, cuda_graphs="0", nhwc="0")
    assert backend.mode == "plain"
    assert "enable_cuda_graph" not in library.asked[0][0][1]


@pytest.mark.parametrize(("size", "mode"), [(6, "plain"), (1, "graph")])
def test_tensorrt_is_recorded_where_one_size_is_prepared(
    size: int, mode: str, library: Library, bundle: Bundle
) -> None:
    backend = opened(bundle, size, providers="tensorrt,cuda")
    assert backend.mode == mode
    assert [name for name, _ in library.asked[0]] == [TENSORRT, CUDA, CPU]
    assert ("trt_cuda_graph_enable" in library.asked[0][0][1]) == (mode == "graph")
    assert len(backend.run(pictures(1))[0]) == 1
    backend.close()


def test_a_provider_that_does_not_start_is_said_once(library: Library, bundle: Bundle) -> None:
    library.starts = False
    with pytest.raises(BackendUnavailableError, match=f"onnxruntime could not start {CUDA}: is the driver installed"):
        opened(bundle)
    assert len(library.asked) == 1
