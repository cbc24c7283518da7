"""The small parts of a step against their formulas."""

import weakref
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from model_zoo.architectures import input_spec
from model_zoo.export import FromPixels
from optimize.data.dataset import Task
from optimize.data.read import read_data
from optimize.errors import RecipeError, TrainingError
from optimize.training.assembly import assembled
from optimize.training.loss_watch import LossWatch, require_finite
from optimize.training.normalise import Normalise
from optimize.training.objective import Objective
from optimize.training.precision import Precision, choose_device, choose_precision
from optimize.training.step import Seen, StepView, Term
from optimize.training.step_loop import EpochSums
from optimize.training.target_rows import TargetRows
from optimize.training.train_options import TrainOptions
from tests.optimize.training.small_runs import SIDE, small_recipe, write_stripes

CPU = torch.device("cpu")


def view(logits: torch.Tensor, targets: torch.Tensor) -> StepView:
    return StepView(
        pictures=torch.zeros(len(logits), 1, 2, 2),
        indices=torch.arange(len(logits)),
        targets=targets,
        slices=(slice(0, targets.shape[1]),),
        student=Seen(logits),
        teacher=None,
        target_domain=None,
        network=nn.Identity(),
        progress=0.0,
    )


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("architecture", ["grey28", "efficientnet_lite0", "resnet18"])
def test_pictures_are_normalised_as_the_exported_graph_does(architecture: str, channels_last: bool) -> None:
    spec = input_spec(architecture)
    pictures = torch.randint(0, 256, (2, spec.channels, 9, 7), dtype=torch.uint8)

    ours = Normalise(spec, CPU, channels_last=channels_last).of_bytes(pictures)

    expected = FromPixels(nn.Identity(), spec)(pictures.permute(0, 2, 3, 1))
    torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-5)
    kind = torch.channels_last if channels_last else torch.contiguous_format
    assert ours.is_contiguous(memory_format=kind)


def test_labels_become_rows_side_by_side_and_nothing_where_there_is_none() -> None:
    rows = TargetRows([Task("a", ("x", "y", "z")), Task("b", ("u", "v"))], CPU)

    found = rows(torch.tensor([[2, 0], [-1, 1], [0, -1]]))

    assert found.tolist() == [[0, 0, 1, 1, 0], [0, 0, 0, 0, 1], [1, 0, 0, 0, 0]]


class Fixed(Term):
    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value

    def forward(self, step: StepView) -> torch.Tensor:
        return torch.tensor(self.value, dtype=torch.bfloat16)


@given(st.lists(st.tuples(st.sampled_from([0.5, 1.0, 2.0]), st.integers(-8, 8)), min_size=1, max_size=5))
def test_the_objective_is_the_weighted_sum_in_fp32(parts: list[tuple[float, int]]) -> None:
    objective = Objective([(weight, Fixed(float(value))) for weight, value in parts])

    total = objective(view(torch.zeros(1, 2), torch.zeros(1, 2)))

    assert total.dtype == torch.float32
    assert float(total) == sum(weight * value for weight, value in parts)


def test_the_objective_asks_for_what_its_terms_ask_for() -> None:
    first, second = Fixed(1.0), Fixed(1.0)
    first.student_features, second.student_features = ("a", "b"), ("b", "c")
    second.wants_teacher = True

    objective = Objective([(1.0, first), (1.0, second)])

    assert objective.student_features == ("a", "b", "c")
    assert (objective.wants_teacher, objective.wants_target_domain) == (True, False)


def test_sums_of_an_epoch_are_means_by_picture_and_by_labelled_picture() -> None:
    sums = EpochSums(CPU)
    sums.add(torch.tensor(2.0), torch.eye(3), torch.eye(3))
    sums.add(torch.tensor(5.0), torch.tensor([[9.0, 0, 0]]), torch.tensor([[0.0, 0.6, 0.4]]))
    sums.add(torch.tensor(0.0), torch.tensor([[9.0, 0, 0]]), torch.zeros(1, 3))

    assert sums.loss == pytest.approx((3 * 2.0 + 5.0) / 5)
    assert sums.top1 == pytest.approx(3 / 4)


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_stops_with_its_batch(tmp_path: Path, loss: float) -> None:
    watch = LossWatch(tmp_path / "run" / "bad_batch.npz")
    watch.look(torch.tensor(0.5), view(torch.zeros(2, 3), torch.zeros(2, 3)), 0, 0)

    with pytest.raises(TrainingError, match="epoch 3, step 5"):
        watch.look(torch.tensor(loss), view(torch.ones(2, 3), torch.zeros(2, 3)), 2, 4)

    with np.load(tmp_path / "run" / "bad_batch.npz") as saved:
        assert saved["logits"].tolist() == [[1, 1, 1], [1, 1, 1]]
        assert (int(saved["epoch"]), int(saved["step"])) == (3, 5)


class OnSecondGpu(torch.Tensor):
    """A loss that says it lies on a GPU of two."""

    is_cuda = True
    device = torch.device("cuda:1")


class NeverArrived:
    """In place of ``torch.cuda.Event``: a copy that has not ended."""

    recorded: ClassVar[list[object]] = []

    def record(self, stream: object = None) -> None:
        self.recorded.append(stream)

    def query(self) -> bool:
        return False

    def synchronize(self) -> None:
        pass


@pytest.fixture
def second_gpu(monkeypatch: pytest.MonkeyPatch) -> torch.Tensor:
    monkeypatch.setattr(NeverArrived, "recorded", [])
    monkeypatch.setattr(torch.cuda, "Event", NeverArrived)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device=None: f"stream of {device}")
    return torch.tensor(0.5).as_subclass(OnSecondGpu)


def test_a_verdict_is_awaited_on_the_stream_of_the_loss_s_own_gpu(second_gpu: torch.Tensor, tmp_path: Path) -> None:
    LossWatch(tmp_path / "bad.npz").look(second_gpu, view(torch.zeros(2, 3), torch.zeros(2, 3)), 0, 0)

    assert NeverArrived.recorded == ["stream of cuda:1"]


def test_of_a_step_that_waits_only_what_is_written_is_kept(second_gpu: torch.Tensor, tmp_path: Path) -> None:
    watch = LossWatch(tmp_path / "bad.npz")
    weights = torch.zeros(2, 3, requires_grad=True)
    step = view(weights * 2, torch.zeros(2, 3))
    network, weight = weakref.ref(step.network), weakref.ref(weights)

    watch.look(second_gpu, step, 0, 0)
    del step, weights

    assert network() is None
    assert weight() is None


def test_weights_that_are_no_numbers_are_refused() -> None:
    require_finite([torch.zeros(2), torch.full((2,), 3e38)], 0)
    for wrong in (torch.nan, torch.inf):
        with pytest.raises(TrainingError, match="after the last step of epoch 4"):
            require_finite([torch.zeros(2), torch.tensor([1.0, wrong])], 3)


def test_no_progressive_size_exceeds_the_models_input(tmp_path: Path) -> None:
    recipe = small_recipe(write_stripes(tmp_path / "stripes"), train={"sizes": [[0.5, 4096]]})
    with assembled(recipe, read_data(recipe.data, recipe.seed), tmp_path, lambda _: None) as parts:
        assert parts.size_at(0.0) == (SIDE, SIDE)


def test_sizes_follow_the_run() -> None:
    options = TrainOptions.model_validate({"sizes": [[0.25, 96], [0.5, 128]]})

    assert [options.side_at(progress) for progress in (0.0, 0.24, 0.25, 0.49, 0.5, 1.0)] == [
        96,
        96,
        128,
        128,
        None,
        None,
    ]


def test_precision_resolves_to_what_the_device_multiplies_in() -> None:
    assert choose_precision("fp32", CPU) == Precision(CPU, None)
    assert choose_precision("bf16", CPU).dtype is torch.bfloat16
    assert choose_precision("auto", CPU).dtype in (None, torch.bfloat16)
    with pytest.raises(RecipeError, match="fp16 needs a GPU"):
        choose_precision("fp16", CPU)


def test_devices() -> None:
    assert choose_device("cpu") == CPU
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    with pytest.raises(RecipeError, match=r"train.device"):
        choose_device("cuda:77")
