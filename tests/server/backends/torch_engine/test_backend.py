"""The backend ``torch``: which bundles it takes, and that it answers as the engines that read the graph."""

import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from model_zoo.architectures import build, input_spec
from model_zoo.bundle import Bundle
from model_zoo.decode import turn_upright
from model_zoo.export import Provenance, export_bundle
from model_zoo.preprocess import Stored, preprocess
from model_zoo.spec import ArchitectureRef, InputSpec
from server.backends import BackendOptions, preparing
from server.backends.errors import BackendError, BackendLoadError, BackendUnavailableError
from server.backends.ragged import resizer
from server.backends.ragged.arguments import RaggedResize
from server.backends.selection import open_backend, prove
from server.backends.torch import load
from server.backends.torch_engine.backend import TorchBackend
from server.backends.torch_engine.fold import traced
from server.backends.torch_engine.runner import Answered
from tests.server.fake_bundles import MeanColour

CPU = BackendOptions("cpu", 1, 4)


@pytest.fixture(scope="session")
def exported(store: Path) -> Bundle:
    """A real small network with maps, random weights."""
    torch.manual_seed(3)
    return export_bundle(
        build("grey28", 10),
        name="exported",
        store=store,
        spec=input_spec("grey28"),
        labels=tuple(f"class {number}" for number in range(10)),
        provenance=Provenance(licence="Apache-2.0", source="tests"),
        architecture=ArchitectureRef("grey28", {}),
    )


@pytest.fixture
def opened(exported: Bundle) -> TorchBackend:
    """On the CPU."""
    backend = load(exported, CPU)
    assert isinstance(backend, TorchBackend)
    return backend


def pictures(bundle: Bundle, count: int) -> NDArray[np.uint8]:
    spec = bundle.spec.input
    return np.random.default_rng(0).integers(0, 256, (count, spec.height, spec.width, spec.channels), np.uint8)


def test_it_passes_the_check_that_the_graph_was_written_with_maps_included(
    opened: TorchBackend, exported: Bundle
) -> None:
    assert exported.spec.offers_class_activation
    verdict = prove(opened, exported, 4)
    assert verdict.passed, verdict.detail


def test_it_answers_as_onnx_runtime(opened: TorchBackend, exported: Bundle) -> None:
    other = open_backend(exported, CPU, "onnxruntime").backend
    batch = pictures(exported, 4)
    for ours, theirs in zip(opened.run(batch, explain=True), other.run(batch, explain=True), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-3 * float(np.abs(theirs).max()))


def test_half_precision_stays_near(exported: Bundle) -> None:
    half = load(exported, replace(CPU, extra={"torch.precision": "fp16"}))
    assert half.precision == "fp16"
    batch = pictures(exported, 4)
    exact = load(exported, CPU).run(batch)[0]
    assert np.abs(half.run(batch)[0] - exact).max() <= 0.01 * np.abs(exact).max()


def test_instances_share_their_weights(exported: Bundle) -> None:
    first, second = load(exported, CPU), load(exported, CPU)
    assert isinstance(first, TorchBackend) and isinstance(second, TorchBackend)
    assert first._runner is not None and second._runner is not None
    assert first._runner._network is second._runner._network
    first.close()
    assert len(second.run(pictures(exported, 2))[0]) == 2


def test_models_that_serve_answer_while_another_is_traced(
    opened: TorchBackend, exported: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tracing takes the place of every module's call; here it stays there until the other thread has had its time."""
    batch = pictures(exported, 2)
    expected = opened.run(batch, explain=True)
    tracing, asked = threading.Event(), threading.Event()
    answered: list[tuple[NDArray[np.float32], ...]] = []

    class Slow(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            tracing.set()
            asked.wait(10)
            time.sleep(0.2)
            return x + 1

    def ask() -> None:
        tracing.wait(10)
        asked.set()
        answered.append(opened.run(batch, explain=True))

    other = threading.Thread(target=ask)
    other.start()
    traced(Slow())
    other.join(30)
    ((logits, maps),) = answered
    np.testing.assert_array_equal(logits, expected[0])
    np.testing.assert_array_equal(maps, expected[1])


@pytest.mark.parametrize("kind", [torch.OutOfMemoryError, RuntimeError])
def test_out_of_memory_lowers_the_limit_and_the_batch_is_answered(
    kind: type[RuntimeError], opened: TorchBackend, exported: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Torch's own allocator has an exception for it, CUDA and its libraries have words."""
    batch = pictures(exported, 4)
    before = opened.run(batch)[0]
    runner = opened._runner
    assert runner is not None
    whole = runner.run

    def run(part: NDArray[np.uint8], explain: bool) -> Answered:
        if len(part) > 1:
            raise kind("CUDA out of memory")
        return whole(part, explain)

    monkeypatch.setattr(runner, "run", run)
    with pytest.raises(BackendError, match="batch of 4: CUDA out of memory"):
        opened.run(batch)  # 4 fails, 2 and 2 fail: once more, and no oftener
    assert opened.largest_batch == 2
    np.testing.assert_allclose(opened.run(batch)[0], before, atol=1e-5)
    assert opened.largest_batch == 1


def test_other_faults_of_the_device_are_told_and_not_repeated(
    opened: TorchBackend, exported: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def run(part: NDArray[np.uint8], explain: bool) -> Answered:
        calls.append(len(part))
        raise RuntimeError("CUDA error: an illegal memory access\nwas encountered")

    monkeypatch.setattr(opened._runner, "run", run)
    with pytest.raises(BackendError, match="torch failed on a batch of 3: CUDA error: an illegal memory access was"):
        opened.run(pictures(exported, 3))
    assert calls == [3]
    assert opened.largest_batch == 4


def stored(spec: InputSpec, sizes: list[tuple[int, int, int]]) -> list[Stored]:
    generator = np.random.default_rng(1)
    return [
        Stored(generator.integers(0, 256, (height, width, spec.channels), np.uint8), height, width, 8, orientation)
        for height, width, orientation in sizes
    ]


SIZES = [(28, 28, 1), (90, 41, 6), (5, 200, 3), (1, 1, 1)]


def test_stored_pictures_are_answered_as_if_the_cpu_had_prepared_them(exported: Bundle) -> None:
    spec = exported.spec.input
    backend = load(exported, replace(CPU, extra={"torch.preprocess": "exact"}))
    resizing = preparing(backend)
    assert resizing is not None
    pictures = stored(spec, SIZES)
    prepared = np.stack([preprocess(turn_upright(one.pixels, one.orientation), spec) for one in pictures])
    ours, theirs = resizing.run_stored(pictures, explain=True), backend.run(prepared, explain=True)
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, atol=0.02 * float(np.abs(other).max()))
    assert len(resizing.run_stored(pictures[:3])) == 1
    with pytest.raises(BackendError, match="1 to 4"):
        resizing.run_stored(pictures * 2)


def test_more_than_there_is_room_for_goes_in_turns(exported: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.backends.torch_engine.backend.PACKED_LEAST_BYTES", 0)
    monkeypatch.setattr("server.backends.torch_engine.backend.PACKED_BYTES_EACH", 16_000)
    resizing = preparing(load(exported, replace(CPU, extra={"torch.preprocess": "exact"})))
    assert resizing is not None
    assert resizing.largest_picture_bytes < 64_000
    pictures = stored(exported.spec.input, [(150, 200, 1)] * 4)  # 30 kB each: two at once
    alone = np.concatenate([resizing.run_stored([one])[0] for one in pictures])
    np.testing.assert_allclose(resizing.run_stored(pictures)[0], alone, atol=1e-4)
    with pytest.raises(BackendError, match="takes 90000 bytes"):
        resizing.run_stored(stored(exported.spec.input, [(300, 300, 1)]))


def test_on_a_cpu_pictures_stay_with_the_cpu(opened: TorchBackend) -> None:
    assert preparing(opened) is None


def test_a_resize_with_other_pixels_is_not_used(
    exported: Bundle, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(device: str) -> RaggedResize:
        def resize(
            pixels: torch.Tensor,
            table: torch.Tensor,
            out: torch.Tensor,
            spec: InputSpec,
            normalisation: torch.Tensor | None = None,
        ) -> None:
            resizer(device)(pixels, table, out, spec, normalisation)
            out += 3

        return resize

    monkeypatch.setattr("server.backends.torch_engine.resizing.resizer", broken)
    backend = load(exported, replace(CPU, extra={"torch.preprocess": "exact"}))
    assert preparing(backend) is None
    assert "pictures are resized by the CPU: resized pixels differ" in caplog.text


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (MeanColour(name="graph_only"), "needs an architecture and its float weights"),
        (MeanColour(name="eight_bits", network=True, precision="int8"), "serve the float model"),
        (MeanColour(name="more", network=True, embedding=True), "not the output 'means'"),
    ],
    ids=["no weights", "int8", "another output"],
)
def test_bundles_that_are_not_for_it_are_refused_with_the_reason(kind: MeanColour, said: str, store: Path) -> None:
    with pytest.raises(BackendLoadError, match=said):
        load(kind.write(store), CPU)


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ({"torch.precision": "int4"}, "'torch.precision' must be one of fp32, fp16, not 'int4'"),
        ({"torch.mode": "fast"}, "'torch.mode' must be one of"),
        ({"torch.device_id": "-1"}, "'torch.device_id' must be a number"),
        ({"torch.device_id": "0.5"}, "'torch.device_id' must be a whole number"),
        ({"torch.streams": "2"}, "torch has no setting 'torch.streams'"),
        ({"torch.preprocess": "gpu"}, "'torch.preprocess' must be one of exact, fast, cpu"),
        ({"torch.mode": "graph"}, "a CPU records no graphs"),
    ],
)
def test_odd_settings_are_refused(extra: dict[str, str], said: str, exported: Bundle) -> None:
    with pytest.raises(BackendLoadError, match=said):
        load(exported, replace(CPU, extra=extra))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_cuda_is_refused(exported: Bundle) -> None:
    with pytest.raises(BackendUnavailableError, match="torch finds no CUDA device"):
        load(exported, replace(CPU, device="cuda"))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize("mode", ["compiled+graph", "graph", "eager"])
def test_on_a_gpu_every_way_passes_the_check(mode: str, exported: Bundle) -> None:
    backend = load(exported, BackendOptions("cuda", 1, 16, {"torch.mode": mode, "torch.precision": "fp32"}))
    assert backend.device == "cuda"
    verdict = prove(backend, exported, 16)
    assert verdict.passed, verdict.detail
    batch = pictures(exported, 13)
    theirs = open_backend(exported, BackendOptions("cpu", 1, 13), "onnxruntime").backend.run(batch)[0]
    np.testing.assert_allclose(backend.run(batch)[0], theirs, atol=1e-2 * float(np.abs(theirs).max()))
