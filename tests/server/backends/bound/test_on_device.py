"""Pictures and pixels that are on the device already: DLPack in and out, and resizing into the bound buffer."""

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from model_zoo.bundle import Bundle
from model_zoo.decode import turn_upright
from model_zoo.preprocess import Stored, preprocess
from server.backends import BackendOptions, decoding, preparing
from server.backends.bound.backend import BoundBackend
from server.backends.bound.ways import Way
from server.backends.errors import BackendError
from server.backends.onnxruntime import load
from server.backends.torch_engine.device import CpuDevice
from tests.server.backends.bound.conftest import KIND, OpenCuda
from tests.server.backends.bound.fake_cuda import pictures

CPU = BackendOptions("cpu", 1, 4, {"onnxruntime.memory": "torch"})
SIZES = [(28, 28, 1), (90, 41, 6), (5, 200, 3), (1, 1, 1)]


@pytest.fixture
def opened(bundle: Bundle) -> BoundBackend:
    """On the CPU, in torch's memory."""
    backend = load(bundle, CPU)
    assert isinstance(backend, BoundBackend)
    return backend


@pytest.mark.parametrize("count", [1, 3, 4])
def test_tensors_are_read_where_they_lie_and_answers_handed_out_where_they_were_written(
    count: int, opened: BoundBackend
) -> None:
    batch = pictures(count)
    for given in (torch.from_numpy(batch), batch):  # whoever speaks DLPack: numpy does, too
        found = opened.run_on_device(given, explain=True)
        for one, other in zip(found, KIND.expected(batch), strict=True):
            np.testing.assert_allclose(np.from_dlpack(one), other, atol=2e-3)  # type: ignore[arg-type]
    assert len(opened.run_on_device(batch)) == 2


def test_answers_handed_out_are_not_overwritten(opened: BoundBackend) -> None:
    first = opened.run_on_device(pictures(2))[0]
    opened.run_on_device(pictures(3))
    opened.run(pictures(4))
    np.testing.assert_allclose(np.from_dlpack(first), KIND.expected(pictures(2))[0], atol=2e-3)  # type: ignore[arg-type]


def test_queues_of_the_device_follow_each_other_as_the_caller_s_thread_has_them(
    opened: BoundBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In another thread, another queue would be asked."""
    told: list[tuple[str, int]] = []
    monkeypatch.setattr(CpuDevice, "follow", lambda _: told.append(("follow", threading.get_ident())))
    monkeypatch.setattr(CpuDevice, "hand_over", lambda *_: told.append(("hand over", threading.get_ident())))
    opened.run_on_device(pictures(2))
    here = threading.get_ident()
    outputs = 3  # logits, embedding, maps
    assert told == [("follow", here), *[("hand over", here)] * outputs]


def test_a_slice_of_a_larger_tensor_is_not_copied(opened: BoundBackend) -> None:
    whole = torch.from_numpy(pictures(6))
    middle = whole[2:5]
    np.testing.assert_allclose(
        np.from_dlpack(opened.run_on_device(middle)[0]), KIND.expected(pictures(6)[2:5])[0], atol=2e-3  # type: ignore[arg-type]
    )  # fmt: skip
    whole[2:5] = 255 - whole[2:5]
    np.testing.assert_allclose(
        np.from_dlpack(opened.run_on_device(middle)[0]), KIND.expected(255 - pictures(6)[2:5])[0], atol=2e-3  # type: ignore[arg-type]
    )  # fmt: skip


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (torch.zeros((2, 16, 12, 3)), r"must be contiguous uint8 \(N, 16, 12, 3\), not torch.float32"),
        (torch.zeros((2, 3, 16, 12), dtype=torch.uint8), "must be contiguous uint8"),
        (torch.zeros((2, 12, 16, 3), dtype=torch.uint8).transpose(1, 2), "must be contiguous uint8"),
        (torch.zeros((0, 16, 12, 3), dtype=torch.uint8), "takes 1 to 4"),
        (torch.zeros((5, 16, 12, 3), dtype=torch.uint8), "takes 1 to 4"),
    ],
    ids=["float", "channels first", "not contiguous", "none", "too many"],
)
def test_other_pixels_are_refused(wrong: torch.Tensor, said: str, opened: BoundBackend) -> None:
    with pytest.raises(BackendError, match=said):
        opened.run_on_device(wrong)


def test_recorded_instances_run_them_without_their_recordings(open_cuda: OpenCuda, memory: str) -> None:
    backend, cuda = open_cuda(line=[Way(recorded=True)])
    if memory == "fixed":
        with pytest.raises(BackendError, match=r"need onnxruntime\.memory=torch"):
            backend.run_on_device(pictures(2))
    else:
        found = np.from_dlpack(backend.run_on_device(pictures(2))[0])  # type: ignore[arg-type]
        np.testing.assert_allclose(found, KIND.expected(pictures(2))[0], atol=2e-3)
        assert (cuda.runs[-1].kind, cuda.runs[-1].graph) == ("plain", -1)
    backend.close()
    with pytest.raises(BackendError, match="closed"):
        backend.run_on_device(pictures(2))


def stored(sizes: list[tuple[int, int, int]]) -> list[Stored]:
    generator = np.random.default_rng(1)
    return [
        Stored(generator.integers(0, 256, (height, width, 3), np.uint8), height, width, 8, orientation)
        for height, width, orientation in sizes
    ]


@pytest.mark.parametrize("rows", [None, 4], ids=["any batch", "fixed batch"])
def test_stored_pictures_are_answered_as_if_the_cpu_had_prepared_them(rows: int | None, store: Path) -> None:
    kind = replace(KIND, name=f"resized_{rows or 0}", rows=rows)
    bundle = kind.write(store)
    backend = load(bundle, replace(CPU, extra={**CPU.extra, "onnxruntime.preprocess": "exact"}))
    resizing = preparing(backend)
    assert resizing is not None
    for count in (1, 3, 4):
        given = stored(SIZES[:count])
        spec = bundle.spec.input
        prepared = np.stack([preprocess(turn_upright(np.asarray(one.pixels), one.orientation), spec) for one in given])
        for one, other in zip(resizing.run_stored(given, explain=True), kind.expected(prepared), strict=True):
            np.testing.assert_allclose(one, other, atol=0.2)  # a level of 255, at most
    with pytest.raises(BackendError, match="1 to 4"):
        resizing.run_stored(stored(SIZES * 2))


def test_the_device_s_time_is_told_by_stage(bundle: Bundle) -> None:
    backend = load(bundle, replace(CPU, extra={**CPU.extra, "onnxruntime.preprocess": "exact"}))
    assert isinstance(backend, BoundBackend)
    backend.run(pictures(3))
    told = dict(backend.device_seconds)
    assert list(told) == ["copy_in", "preprocess", "run", "copy_out"]
    assert told["preprocess"] == 0 and all(told[stage] > 0 for stage in told if stage != "preprocess")
    backend.run_stored(stored(SIZES))
    assert all(backend.device_seconds[stage] > told[stage] for stage in told)
    told = dict(backend.device_seconds)
    backend.run_on_device(pictures(2))
    backend.launch(2)
    assert backend.device_seconds == told  # no batch of the server's


def test_on_a_cpu_pictures_stay_with_the_cpu(opened: BoundBackend) -> None:
    assert preparing(opened) is None and decoding(opened) is None
    with pytest.raises(BackendError, match="not decoded here"):
        opened.decode([])
    with pytest.raises(BackendError, match="not resized here"):
        opened.run_stored(stored(SIZES))


def test_a_resize_that_fails_is_left_to_the_cpu(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(device: str) -> object:
        raise RuntimeError("no compiler")

    monkeypatch.setattr("server.backends.torch_engine.resizing.resizer", broken)
    backend = load(bundle, replace(CPU, extra={**CPU.extra, "onnxruntime.preprocess": "fast"}))
    assert preparing(backend) is None
    assert "onnxruntime: pictures are resized by the CPU: no compiler" in caplog.text
    assert len(backend.run(pictures(2))[0]) == 2
