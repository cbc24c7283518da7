"""Ways to run, and what happens when one fails: on a device that only pretends to record."""

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from model_zoo.decode import turn_upright
from model_zoo.preprocess import Stored, preprocess
from model_zoo.top_k import activate, top_k
from server.backends.errors import BackendLoadError
from server.backends.torch_engine.device import CpuDevice, Launch
from server.backends.torch_engine.modes import RECORDED, Mode, refuse_mode
from server.backends.torch_engine.network import PixelNetwork
from server.backends.torch_engine.resizing import Resizing
from server.backends.torch_engine.runner import TorchRunner, prepare
from server.backends.torch_engine.stages import STAGES
from tests.server.fake_bundles import MeanColour
from tests.server.mean_colour_network import mean_colour

KIND = MeanColour(classes=5)
LIMIT = 8


class Recorder(CpuDevice):
    """One that keeps what is to be recorded, and fails when told to.

    ``fails`` gets how many recordings there were before, and may raise; ``wrong`` spoils what is launched.
    """

    records = True

    def __init__(self, fails: Callable[[int], None] = lambda count: None, wrong: bool = False) -> None:
        super().__init__(1)
        self.recorded = self.launched = self.released = 0
        self._fails = fails
        self.wrong = wrong

    def record(self, work: Launch) -> Launch:
        self._fails(self.recorded)
        self.recorded += 1
        work()  # a GPU's libraries choose their kernels so

        def launch() -> None:
            self.launched += 1
            if not self.wrong:
                work()

        return launch

    def release(self) -> None:
        self.released += 1


def network() -> PixelNetwork:
    torch.manual_seed(0)
    return PixelNetwork(mean_colour(KIND.classes), KIND.input, torch.float32).requires_grad_(False).eval()


def pictures(count: int) -> NDArray[np.uint8]:
    return np.random.default_rng(count).integers(0, 256, (count, KIND.height, KIND.width, 3), np.uint8)


def expected(batch: NDArray[np.uint8]) -> NDArray[np.float32]:
    with torch.no_grad():
        logits: NDArray[np.float32] = network()(torch.from_numpy(batch)).numpy()
    return logits


def in_parts(runner: TorchRunner, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
    largest = runner.buckets.largest
    return np.concatenate([runner.run(batch[start : start + largest])[0] for start in range(0, len(batch), largest)])


def fail_from(first: int, error: Exception) -> Callable[[int], None]:
    def fails(count: int) -> None:
        if count >= first:
            raise error

    return fails


def test_every_size_is_recorded_once_and_one_launch_answers_a_batch() -> None:
    device = Recorder()
    runner = TorchRunner(network(), KIND.input, LIMIT, device, "graph")
    assert device.recorded == 4  # 8, 4, 2, 1
    for count in range(1, LIMIT + 1):
        before = device.launched
        np.testing.assert_allclose(runner.run(pictures(count))[0], expected(pictures(count)), atol=1e-5)
        assert device.launched == before + 1


def test_what_the_last_batch_left_does_not_show() -> None:
    runner = TorchRunner(network(), KIND.input, LIMIT, Recorder(), "graph")
    runner.run(pictures(8))
    np.testing.assert_allclose(runner.run(pictures(5))[0], expected(pictures(5)), atol=1e-5)


@pytest.mark.parametrize("fault", [RuntimeError("operation not permitted when stream is capturing"), ValueError("odd")])
def test_a_way_that_fails_is_passed_over_with_a_word(fault: Exception, caplog: pytest.LogCaptureFixture) -> None:
    device = Recorder(fail_from(2, fault))
    with caplog.at_level(logging.WARNING):
        runner = prepare(network(), KIND.input, LIMIT, lambda: device, ("graph", "eager"))
    assert runner.mode == "eager"
    assert "graph failed, the next way is taken" in caplog.text and str(fault) in caplog.text
    assert device.released
    np.testing.assert_allclose(runner.run(pictures(3))[0], expected(pictures(3)), atol=1e-5)


def test_a_recording_with_other_answers_is_not_used(caplog: pytest.LogCaptureFixture) -> None:
    runner = prepare(network(), KIND.input, LIMIT, lambda: Recorder(wrong=True), ("graph", "eager"))
    assert runner.mode == "eager"
    assert "batches of 8: answers differ" in caplog.text


def test_when_no_way_is_left_all_reasons_are_told() -> None:
    with pytest.raises(BackendLoadError, match=r"can't run the network on cpu: graph: first; graph: first"):
        prepare(network(), KIND.input, LIMIT, lambda: Recorder(fail_from(0, RuntimeError("first"))), ("graph", "graph"))


def test_a_cpu_records_nothing_and_is_passed_over() -> None:
    assert prepare(network(), KIND.input, 2, lambda: CpuDevice(1), ("graph", "eager")).mode == "eager"


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("no memory"), RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED")]
)
def test_sizes_that_memory_does_not_hold_are_given_up(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    def fails(count: int) -> None:
        if count == 0 and not tried:
            tried.append(count)
            raise error

    tried: list[int] = []
    device = Recorder(fails)
    runner = prepare(network(), KIND.input, LIMIT, lambda: device, ("graph", "eager"))
    assert (runner.mode, runner.buckets.largest) == ("graph", 4)
    assert "no memory for batches of 8 pictures: at most 4 run together" in caplog.text
    np.testing.assert_allclose(in_parts(runner, pictures(7)), expected(pictures(7)), atol=1e-5)


def test_no_memory_for_a_single_picture_is_no_way_to_run() -> None:
    with pytest.raises(BackendLoadError, match="no memory"):
        prepare(
            network(), KIND.input, 4, lambda: Recorder(fail_from(0, torch.OutOfMemoryError("no memory"))), ("graph",)
        )


def test_the_whole_table_of_pictures_is_valid_before_any_came(monkeypatch: pytest.MonkeyPatch) -> None:
    """A recording begins by running all rows; new memory of a device holds anything."""

    def never_written(like: torch.Tensor, **how: object) -> torch.Tensor:
        return torch.full_like(like, 77, **how)  # type: ignore[arg-type]

    monkeypatch.setattr(torch, "empty_like", never_written)
    resizing = Resizing(KIND.input, LIMIT, 2**18, CpuDevice(1), exact=True)
    assert torch.equal(resizing._table, resizing._table_here)
    pixels = torch.zeros((LIMIT, KIND.input.height, KIND.input.width, 3), dtype=torch.uint8)
    resizing.resize_into(pixels)


STORED = [Stored(np.random.default_rng(n).integers(0, 256, (9 + n, 30, 3), np.uint8), 9 + n, 30, 8, n) for n in (1, 6)]


def that_resizes(device: Recorder, mode: Mode = "graph") -> TorchRunner:
    """Prepared."""
    runner = TorchRunner(network(), KIND.input, LIMIT, device, mode)
    runner.let_resize(Resizing(KIND.input, LIMIT, 2**18, device, exact=True))
    return runner


def resized() -> NDArray[np.uint8]:
    return np.stack([preprocess(turn_upright(one.pixels, one.orientation), KIND.input) for one in STORED])


def test_resizing_is_recorded_with_the_network(caplog: pytest.LogCaptureFixture) -> None:
    device = Recorder()
    runner = that_resizes(device)
    assert device.recorded == 8
    before = device.launched
    np.testing.assert_allclose(runner.run(STORED)[0], expected(resized()), atol=1e-5)
    assert device.launched == before + 1
    assert not caplog.text


@pytest.mark.parametrize("fault", ["raises", "wrong"])
def test_where_that_fails_it_is_a_launch_before_the_other(fault: str, caplog: pytest.LogCaptureFixture) -> None:
    def fails(count: int) -> None:
        if count == 5 and fault == "raises":
            raise RuntimeError("operation not permitted")
        device.wrong = count == 5

    device = Recorder(fails)
    record = device.record

    def recorded(work: Launch) -> Launch:
        launch = record(work)
        wrong, device.wrong = device.wrong, False
        return (lambda: None) if wrong else launch

    device.record = recorded  # type: ignore[method-assign]
    runner = that_resizes(device)
    assert "resizing is not recorded with the network" in caplog.text
    before = device.launched
    np.testing.assert_allclose(runner.run(STORED)[0], expected(resized()), atol=1e-5)
    assert device.launched == before + 1


def test_a_device_that_gives_other_answers_once_it_resized_is_not_used() -> None:
    device = Recorder()
    runner = TorchRunner(network(), KIND.input, LIMIT, device, "graph")
    device.wrong = True
    with pytest.raises(RuntimeError, match="batches of 8: answers differ"):
        runner.let_resize(Resizing(KIND.input, LIMIT, 2**18, device, exact=True))


def test_the_best_classes_are_those_of_the_answers() -> None:
    runner = that_resizes(Recorder())
    for some in (pictures(5), STORED):
        logits, ranked = runner.run(some)[0], runner.rank(some)
        assert ranked.indices.shape == ranked.scores.shape == (len(some), KIND.classes)
        for row, scores in enumerate(activate(logits, "none")):
            indices, values = top_k(scores, KIND.classes)
            assert ranked.indices[row].tolist() == indices.tolist()
            np.testing.assert_array_equal(ranked.scores[row], values)


def test_the_device_s_time_is_told_by_stage() -> None:
    runner = that_resizes(Recorder())
    runner.run(pictures(3))
    told = dict(runner.seconds)
    assert list(told) == list(STAGES)
    assert told["preprocess"] == 0 and all(told[stage] > 0 for stage in STAGES if stage != "preprocess")
    runner.rank(STORED)
    assert all(runner.seconds[stage] > told[stage] for stage in STAGES)


def test_a_lowered_runner_that_resizes_goes_on() -> None:
    runner = that_resizes(Recorder())
    assert runner.lower(2)
    np.testing.assert_allclose(runner.run(STORED)[0], expected(resized())[:1], atol=1e-5)


def test_a_lowered_runner_gives_memory_back_and_goes_on() -> None:
    device = Recorder()
    runner = TorchRunner(network(), KIND.input, LIMIT, device, "graph")
    assert runner.lower(4)
    assert device.released == 1
    assert runner.buckets.largest == 2
    np.testing.assert_allclose(in_parts(runner, pictures(8)), expected(pictures(8)), atol=1e-5)
    assert runner.lower(2)
    assert not runner.lower(1)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch, in what it imports to compile
def test_compiled_answers_are_the_same_and_kernels_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUICKEYE_CACHE_DIR", str(tmp_path))
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    runner = TorchRunner(network(), KIND.input, 2, CpuDevice(1), "compiled")
    np.testing.assert_allclose(runner.run(pictures(2))[0], expected(pictures(2)), atol=1e-4)
    assert list((tmp_path / "torchinductor").iterdir())
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR")  # the runner set it


def test_modes_go_by_their_names() -> None:
    assert [refuse_mode(mode) for mode in RECORDED] == list(RECORDED)
    with pytest.raises(BackendLoadError, match="must be one of compiled"):
        refuse_mode("fast")
