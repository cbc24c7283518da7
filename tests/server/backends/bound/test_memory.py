"""The two kinds of memory, under a real session; and which kind the settings choose."""

from collections.abc import Sequence

import numpy as np
import onnxruntime
import pytest

from model_zoo.bundle import Bundle
from server.backends import BackendOptions
from server.backends.bound.choices import decode_choice, device_of, memory_kind, preprocess_choice
from server.backends.bound.memory import Memory, layout_of
from server.backends.errors import BackendLoadError, BackendUnavailableError
from server.backends.onnxruntime import load
from tests.server.backends.bound.conftest import KIND
from tests.server.backends.bound.fake_cuda import pictures

NAMES = ["logits", "class_activation", "means"]


@pytest.fixture
def taken(memory: str, bundle: Bundle) -> Memory:
    """Of either kind, for 2 and 4 pictures."""
    device = device_of(onnxruntime, memory, ("cpu", 0), BackendOptions("cpu"))
    assert (device.place, device.stream) == (("cpu", 0), 0)
    return device.memory(layout_of(bundle, "images"), [2, 4])


def run(session: onnxruntime.InferenceSession, taken: Memory, size: int) -> None:
    binding = session.io_binding()
    taken.bind(binding, size)
    session.run_with_iobinding(binding)


@pytest.fixture
def session() -> onnxruntime.InferenceSession:
    """Mean colour on the CPU."""
    return onnxruntime.InferenceSession(KIND.graph(), providers=["CPUExecutionProvider"])


def as_numpy(found: Sequence[np.ndarray], count: int) -> None:
    for one, other in zip(found, KIND.expected(pictures(count)), strict=True):
        np.testing.assert_allclose(one, other, atol=2e-3)


@pytest.mark.parametrize(("count", "size"), [(1, 2), (2, 2), (3, 4), (4, 4)])
def test_a_batch_goes_in_and_its_rows_come_out(
    count: int, size: int, taken: Memory, session: onnxruntime.InferenceSession
) -> None:
    taken.upload(pictures(count), size)
    run(session, taken, size)
    as_numpy(taken.download(NAMES, count, size), count)
    assert [len(rows) for rows in taken.download(["means"], count, size)] == [count]


def test_a_binding_reads_the_same_place_again_and_again(taken: Memory, session: onnxruntime.InferenceSession) -> None:
    binding = session.io_binding()
    taken.bind(binding, 4)
    for count in (4, 3, 1):
        taken.upload(pictures(count), 4)
        session.run_with_iobinding(binding)
        as_numpy(taken.download(NAMES, count, 4), count)


def test_what_was_fetched_stays_as_it_is(taken: Memory, session: onnxruntime.InferenceSession) -> None:
    taken.upload(pictures(2), 2)
    run(session, taken, 2)
    kept = taken.download(NAMES, 2, 2)
    taken.forget(2)
    as_numpy(kept, 2)
    assert all(np.isnan(rows).all() for rows in taken.download(NAMES, 2, 2))


def test_a_dropped_size_leaves_the_others(taken: Memory, session: onnxruntime.InferenceSession) -> None:
    taken.drop(4)
    taken.upload(pictures(2), 2)
    run(session, taken, 2)
    as_numpy(taken.download(NAMES, 2, 2), 2)


def test_where_nothing_is_said_the_device_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    for sees, kind in ((True, "torch"), (False, "fixed")):
        monkeypatch.setattr("server.backends.bound.choices.torch_sees_cuda", lambda sees=sees: sees)
        assert memory_kind({}, "cuda") == kind
        assert memory_kind({}, "cpu") == "copied"
    assert preprocess_choice({}, "cpu") == decode_choice({}, "cpu") == "cpu"
    assert decode_choice({}, "cuda") == "auto"
    monkeypatch.setattr("server.backends.bound.choices.find_spec", lambda name: object())
    assert preprocess_choice({}, "cuda") == "exact"
    monkeypatch.setattr("server.backends.bound.choices.find_spec", lambda name: None)
    assert preprocess_choice({}, "cuda") == "cpu"


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ({"memory": "mine"}, r"'onnxruntime\.memory' must be one of torch, fixed, copied, not 'mine'"),
        ({"cuda_graphs": "1"}, r"onnxruntime\.cuda_graphs=1 is for CUDA"),
        ({"nhwc": "1"}, r"onnxruntime\.nhwc=1 is for CUDA"),
        ({"cuda_graphs": "1", "memory": "fixed"}, r"cuda_graphs=1: CPUExecutionProvider has no such way"),
        ({"nhwc": "perhaps"}, r"'onnxruntime\.nhwc' must be 1 or 0"),
        ({"preprocess": "gpu", "memory": "torch"}, r"'onnxruntime\.preprocess' must be one of exact, fast, cpu"),
        ({"preprocess": "gpu"}, r"'onnxruntime\.preprocess' must be one of exact, fast, cpu"),
        ({"preprocess": "fast"}, r"onnxruntime\.preprocess is the CPU's unless onnxruntime\.memory is torch"),
        ({"decode": "both"}, r"'onnxruntime\.decode' must be one of auto, gpu, cpu"),
        ({"decode": "gpu", "memory": "fixed"}, r"onnxruntime\.decode is the CPU's unless onnxruntime\.memory is torch"),
        ({"device_id": "first"}, r"'onnxruntime\.device_id' must be a whole number"),
    ],
)
def test_odd_settings_are_refused(extra: dict[str, str], said: str, bundle: Bundle) -> None:
    with pytest.raises(BackendLoadError, match=said):
        load(bundle, BackendOptions("cpu", extra={f"onnxruntime.{key}": value for key, value in extra.items()}))


def test_settings_that_say_no_are_taken_everywhere(bundle: Bundle) -> None:
    extra = {"onnxruntime.cuda_graphs": "0", "onnxruntime.nhwc": "0"}
    for memory in ("copied", "fixed"):
        backend = load(bundle, BackendOptions("cpu", extra={**extra, "onnxruntime.memory": memory}))
        assert len(backend.run(pictures(2))[0]) == 2
        backend.close()


def test_without_torch_its_memory_is_unavailable(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "server.backends.torch_engine.bound_memory", None)
    with pytest.raises(BackendUnavailableError, match="torch is not installed"):
        load(bundle, BackendOptions("cpu", extra={"onnxruntime.memory": "torch"}))
