"""What is taken when a way to run fails: at opening, at recording, by its answers."""

import logging
import threading
from collections.abc import Callable

import numpy as np
import pytest

from server.backends.bound.backend import BoundBackend
from server.backends.bound.ways import Way
from server.backends.errors import BackendLoadError
from tests.server.backends.bound.conftest import KIND, OpenCuda
from tests.server.backends.bound.fake_cuda import Faults, pictures

NOT_ALL_NODES = "all the graph nodes have not been assigned to CUDAExecutionProvider"
CAPTURING = "CUDA failure 900: operation not permitted when stream is capturing"


def refuse(word: str, key: str) -> Callable[[dict[str, str]], None]:
    def check(options: dict[str, str]) -> None:
        if key in options:
            raise RuntimeError(word)

    return check


def answers_as_numpy(backend: BoundBackend) -> None:
    batch = pictures(5)
    for one, other in zip(backend.run(batch, explain=True), KIND.expected(batch), strict=True):
        np.testing.assert_allclose(one, other, atol=2e-3)


def test_recorded_and_channels_last_where_all_works(open_cuda: OpenCuda, caplog: pytest.LogCaptureFixture) -> None:
    backend, cuda = open_cuda()
    assert backend.mode == "graph+nhwc"
    assert len(cuda.asked) == 1
    assert cuda.asked[0][0].options == {"device_id": "0", "enable_cuda_graph": "1", "prefer_nhwc": "1"}
    assert cuda.asked[0][1].options == {}
    assert not caplog.records
    answers_as_numpy(backend)
    backend.close()


@pytest.mark.parametrize("stage", ["opening", "recording"])
def test_what_can_not_be_recorded_runs_channels_last(
    stage: str, open_cuda: OpenCuda, caplog: pytest.LogCaptureFixture
) -> None:
    word = NOT_ALL_NODES if stage == "opening" else CAPTURING
    fail = refuse(word, "enable_cuda_graph")
    faults = Faults(opening=fail) if stage == "opening" else Faults(recording=fail)
    with caplog.at_level(logging.WARNING):
        backend, cuda = open_cuda(faults)
    assert backend.mode == "nhwc"
    assert [one[0].options.get("enable_cuda_graph") for one in cuda.asked] == ["1", None]
    assert "graph+nhwc failed, the next way is taken" in caplog.text and word in caplog.text
    answers_as_numpy(backend)


def test_without_channels_last_kernels_it_is_still_recorded(open_cuda: OpenCuda) -> None:
    backend, cuda = open_cuda(Faults(opening=refuse("NHWC is not built in", "prefer_nhwc")))
    assert backend.mode == "graph"
    assert len(cuda.asked) == 3
    answers_as_numpy(backend)
    backend.close()


def test_channels_last_kernels_with_other_answers_are_not_used(
    open_cuda: OpenCuda, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        backend, _ = open_cuda(Faults(wrong=lambda options: "prefer_nhwc" in options))
    assert backend.mode == "graph"
    assert caplog.text.count("it gives other answers than the bundle's") == 2
    answers_as_numpy(backend)
    backend.close()


def test_a_recording_with_other_answers_is_not_used(open_cuda: OpenCuda, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        backend, _ = open_cuda(Faults(stale=True))
    assert backend.mode == "nhwc"
    assert "recorded, 'logits' differs from plain runs" in caplog.text
    answers_as_numpy(backend)


def test_the_last_way_is_plain(open_cuda: OpenCuda) -> None:
    def check(options: dict[str, str]) -> None:
        if "enable_cuda_graph" in options or "prefer_nhwc" in options:
            raise RuntimeError("no")

    backend, cuda = open_cuda(Faults(opening=check))
    assert backend.mode == "plain"
    assert len(cuda.asked) == 4
    answers_as_numpy(backend)


def test_where_no_way_is_left_all_reasons_are_told(open_cuda: OpenCuda) -> None:
    def check(options: dict[str, str]) -> None:
        raise RuntimeError(f"refused with {len(options)} options")

    with pytest.raises(BackendLoadError) as caught:
        open_cuda(Faults(opening=check))
    for reason in ("graph+nhwc: ", "nhwc: ", "graph: ", "plain: onnxruntime does not take the graph: refused with 1"):
        assert reason in str(caught.value)
    with pytest.raises(BackendLoadError, match=r"^onnxruntime does not take the graph: refused"):
        open_cuda(Faults(opening=check), [Way(recorded=True)])


def test_the_last_way_is_left_to_the_check_as_every_engine_is(open_cuda: OpenCuda) -> None:
    backend, _ = open_cuda(Faults(wrong=lambda options: True))
    assert backend.mode == "plain"


def test_failed_tries_leave_no_thread_behind(open_cuda: OpenCuda) -> None:
    before = threading.active_count()
    backend, _ = open_cuda(Faults(stale=True))
    assert threading.active_count() == before
    backend.close()
    recorded, _ = open_cuda()
    assert threading.active_count() == before + 1
    recorded.close()
    assert threading.active_count() == before
