"""Sizes, recordings and memory of one session."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from server.backends.bound.ways import Way
from server.backends.errors import BackendError, BackendLoadError
from tests.server.backends.bound.conftest import KIND, LIMIT, OpenCuda
from tests.server.backends.bound.fake_cuda import NO_MEMORY, Faults, pictures

RECORDED, PLAIN = [Way(recorded=True)], [Way()]


def test_every_size_is_recorded_once_and_one_launch_answers_a_batch(open_cuda: OpenCuda) -> None:
    backend, cuda = open_cuda(line=RECORDED)
    assert backend.batch_sizes == (1, 2, 4, 6)
    assert [run.graph for run in cuda.runs if run.kind == "recording"] == [6, 1, 4, 2]
    for count in range(1, LIMIT + 1):
        before = len(cuda.runs)
        batch = pictures(count)
        for one, other in zip(backend.run(batch), (KIND.expected(batch)[0], KIND.expected(batch)[2]), strict=True):
            np.testing.assert_allclose(one, other, atol=2e-3)
        assert len(cuda.runs) == before + 1
        size = next(size for size in backend.batch_sizes if size >= count)
        assert (cuda.runs[-1].kind, cuda.runs[-1].graph, cuda.runs[-1].rows) == ("replay", size, size)
    backend.close()


def test_recordings_are_replayed_whichever_thread_asks(open_cuda: OpenCuda) -> None:
    backend, cuda = open_cuda(line=RECORDED)
    with ThreadPoolExecutor(3) as pool:
        for _ in range(3):
            pool.submit(backend.run, pictures(3)).result(timeout=60)
    assert len({run.thread for run in cuda.runs}) == 1
    assert [run.kind for run in cuda.runs[-3:]] == ["replay"] * 3
    backend.close()


def test_without_recordings_every_size_is_run_once_beforehand(open_cuda: OpenCuda) -> None:
    _, cuda = open_cuda(line=PLAIN)
    assert [run.rows for run in cuda.runs] == [6, 1, 4, 2]  # the largest, then the smallest: TensorRT builds twice
    assert all(run.graph is None and run.entries == {} for run in cuda.runs)


def test_what_the_last_batch_left_does_not_show(open_cuda: OpenCuda) -> None:
    backend, _ = open_cuda(line=RECORDED)
    backend.run(pictures(6))
    np.testing.assert_allclose(backend.run(pictures(3))[0], KIND.expected(pictures(3))[0], atol=2e-3)
    backend.close()


def test_a_size_that_memory_does_not_hold_is_given_up_at_the_start(
    open_cuda: OpenCuda, caplog: pytest.LogCaptureFixture
) -> None:
    backend, cuda = open_cuda(Faults(largest=3), RECORDED)
    assert backend.batch_sizes == (1, 2)
    assert backend.largest_batch == 2
    assert "no memory for batches of 6 pictures: at most 4 run together" in caplog.text
    assert "no memory for batches of 4 pictures: at most 2 run together" in caplog.text
    batch = pictures(5)
    np.testing.assert_allclose(backend.run(batch)[0], KIND.expected(batch)[0], atol=2e-3)
    assert [run.rows for run in cuda.runs[-3:]] == [2, 2, 1]
    backend.close()


def test_where_not_even_one_picture_fits_the_bundle_is_refused(open_cuda: OpenCuda) -> None:
    with pytest.raises(BackendLoadError, match=r"plain: .*Failed to allocate memory"):
        open_cuda(Faults(largest=0))


@pytest.mark.parametrize("line", [RECORDED, PLAIN], ids=["recorded", "plain"])
def test_out_of_memory_lowers_the_limit_and_the_batch_is_answered(line: list[Way], open_cuda: OpenCuda) -> None:
    backend, cuda = open_cuda(line=line)
    cuda.sessions[-1].faults.largest = 5
    batch = pictures(6)
    for one, other in zip(backend.run(batch, explain=True), KIND.expected(batch), strict=True):
        np.testing.assert_allclose(one, other, atol=2e-3)
    assert backend.largest_batch == 4
    assert [run.rows for run in cuda.runs[-2:]] == [4, 2]
    backend.close()


def test_the_arena_is_shrunk_once_and_never_under_recordings(open_cuda: OpenCuda) -> None:
    for line in (PLAIN, RECORDED):
        backend, cuda = open_cuda(line=line)
        cuda.sessions[-1].faults.largest = 5
        backend.run(pictures(6))
        asked = [run.entries.get("memory.enable_memory_arena_shrinkage") for run in cuda.runs]
        assert [word for word in asked if word] == (["cpu:0"] if line is PLAIN else [])
        backend.close()


def test_memory_that_runs_out_again_is_told_and_asked_for_no_oftener(open_cuda: OpenCuda) -> None:
    backend, cuda = open_cuda(line=PLAIN)
    before = len(cuda.runs)
    cuda.sessions[-1].faults.largest = 1
    with pytest.raises(BackendError, match=r"batch of 6: .*Failed to allocate memory"):
        backend.run(pictures(6))
    assert len(cuda.runs) == before  # 6 and then 4 were refused before they ran
    assert backend.largest_batch == 4
    with pytest.raises(BackendError, match="batch of 6"):
        backend.run(pictures(6))
    np.testing.assert_allclose(backend.run(pictures(2))[0], KIND.expected(pictures(2))[0], atol=2e-3)
    assert backend.largest_batch == 1


@pytest.mark.parametrize(
    "word",
    [NO_MEMORY, "CUDA failure 2: out of memory ; GPU=0", "CUDA_ERROR_OUT_OF_MEMORY", "CUBLAS_STATUS_ALLOC_FAILED"],
)
def test_want_of_memory_is_known_by_its_words(word: str, open_cuda: OpenCuda, monkeypatch: pytest.MonkeyPatch) -> None:
    backend, cuda = open_cuda(line=PLAIN)
    monkeypatch.setattr("tests.server.backends.bound.fake_cuda.NO_MEMORY", word)
    cuda.sessions[-1].faults.largest = 5
    assert len(backend.run(pictures(6))[0]) == 6
    assert backend.largest_batch == 4


def test_other_faults_are_told_and_not_repeated(open_cuda: OpenCuda, monkeypatch: pytest.MonkeyPatch) -> None:
    backend, cuda = open_cuda(line=PLAIN)
    calls: list[int] = []

    def fail(iobinding: object, run_options: object) -> None:
        calls.append(1)
        raise RuntimeError("CUDA failure 700: an illegal memory access\nwas encountered")

    monkeypatch.setattr(cuda.sessions[-1], "run_with_iobinding", fail)
    with pytest.raises(BackendError, match="failed on a batch of 6: CUDA failure 700: an illegal memory access was"):
        backend.run(pictures(6))
    assert calls == [1]
    assert backend.largest_batch == 6


def test_maps_are_fetched_only_when_they_are_asked_for(open_cuda: OpenCuda, monkeypatch: pytest.MonkeyPatch) -> None:
    backend, _ = open_cuda(line=RECORDED)
    runner = backend._runner
    assert runner is not None
    asked: list[list[str]] = []
    download = runner.memory.download

    def watch(names: list[str], count: int, size: int) -> object:
        asked.append(list(names))
        return download(names, count, size)

    monkeypatch.setattr(runner.memory, "download", watch)
    backend.run(pictures(2))
    backend.run(pictures(2), explain=True)
    assert asked == [["logits", "means"], ["logits", "class_activation", "means"]]
    backend.close()


def test_on_a_stream_of_ours_runs_are_not_waited_for_where_copies_follow(open_cuda: OpenCuda, memory: str) -> None:
    backend, cuda = open_cuda(line=RECORDED, stream=77)
    assert cuda.asked[0][0].options["user_compute_stream"] == "77"
    backend.run(pictures(3))
    assert all(run.entries["disable_synchronize_execution_providers"] == "1" for run in cuda.runs)
    if memory == "torch":  # nobody copies these: whoever gets them may read them at once
        backend.run_on_device(pictures(3))
        assert cuda.runs[-1].entries == {"gpu_graph_id": "-1"}
    backend.close()


def test_on_a_stream_of_its_own_every_run_is_waited_for(open_cuda: OpenCuda) -> None:
    backend, cuda = open_cuda(line=RECORDED)
    assert "user_compute_stream" not in cuda.asked[0][0].options
    assert all(set(run.entries) == {"gpu_graph_id"} for run in cuda.runs)
    backend.close()
