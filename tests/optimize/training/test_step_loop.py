"""How batches become steps: weighed by pictures, made one at a time, the objective in fp32."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from optimize.data.read import read_data
from optimize.errors import TrainingError
from optimize.training.assembly import Assembly, assembled
from optimize.training.loss_watch import LossWatch
from optimize.training.objective import Objective
from optimize.training.step import StepView, Term
from optimize.training.step_loop import StepLoop
from tests.optimize.training.small_runs import SIDE, small_recipe, write_stripes

EXACT: dict[str, Any] = {  # a picture is the same in whatever batch
    "optimiser": {"name": "sgd", "lr": 0.5, "weight_decay": 0.0},
    "schedule": "constant",
    "model": {"dropout": 0.0, "batch_norm": "frozen"},
}


@pytest.fixture(scope="module")
def stripes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """19 pictures that train; beside them some that validate."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("stripes")
    write_stripes(folder / "val", seed=8, each=3)
    write_stripes(folder / "train", each=10)
    (folder / "train" / "class0" / "000.png").unlink()
    return folder / "train"


@contextmanager
def parts_of(stripes: Path, folder: Path, **tables: Any) -> Iterator[Assembly]:  # noqa: ANN401
    given = {"val": str(stripes.with_name("val")), **tables.pop("data", {})}
    recipe = small_recipe(stripes, data=given, **tables)
    with assembled(recipe, read_data(recipe.data, recipe.seed), folder, lambda _: None) as parts:
        yield parts


def weights_after_an_epoch(parts: Assembly, folder: Path) -> Tensor:
    StepLoop(parts, LossWatch(folder / "bad.npz")).epoch(0, lambda _: None)
    return torch.cat([one.detach().flatten() for one in parts.network.module.parameters()])


@pytest.mark.parametrize("sam", [0.0, 0.05])
def test_a_group_of_uneven_batches_is_one_large_batch(stripes: Path, tmp_path: Path, sam: float) -> None:
    """19 pictures in batches of 9, 9 and 1: the last picture counts as much as any."""
    found = []
    for size, accumulate in ((19, 1), (9, 3)):
        options = {"batch_size": size, "accumulate": accumulate, "epochs": 1, "sam": sam}
        with parts_of(stripes, tmp_path, **EXACT, train=options) as parts:
            assert (parts.pictures, parts.updates) == (19, 1)
            found.append(weights_after_an_epoch(parts, tmp_path))

    torch.testing.assert_close(found[1], found[0], rtol=1e-4, atol=1e-5)


def test_each_step_knows_its_pictures(stripes: Path, tmp_path: Path) -> None:
    for options, wanted in (
        ({"batch_size": 4, "accumulate": 2}, [8, 8, 3]),
        ({"batch_size": 4, "accumulate": 2, "drop_last": True}, [8, 8]),
        ({"batch_size": 4, "accumulate": 2, "max_steps": 3}, [8, 4]),
        ({"batch_size": 64}, [19]),
    ):
        with parts_of(stripes, tmp_path, train=options) as parts:
            assert [parts.pictures_of(update) for update in range(parts.updates)] == wanted


class Counting:
    """A maker that says how many batches it has made."""

    def __init__(self, maker: Any) -> None:  # noqa: ANN401
        self.maker, self.made = maker, 0

    def make(self, *arguments: Any) -> Any:  # noqa: ANN401
        self.made += 1
        return self.maker.make(*arguments)


class Noting(LossWatch):
    """Notes how many batches were made when a step was done."""

    def __init__(self, path: Path, maker: Counting) -> None:
        super().__init__(path)
        self.maker, self.noted = maker, list[int]()

    def look(self, loss: Tensor, view: StepView, epoch: int, step: int) -> None:
        self.noted.append(self.maker.made)
        super().look(loss, view, epoch, step)


@pytest.mark.parametrize(("sam", "made"), [(0.0, [1, 2, 3, 4, 5]), (0.05, [3, 3, 3, 5, 5])])
def test_a_group_is_in_memory_at_once_only_where_it_is_seen_twice(
    stripes: Path, tmp_path: Path, sam: float, made: list[int]
) -> None:
    with parts_of(stripes, tmp_path, train={"batch_size": 4, "accumulate": 3, "sam": sam}) as parts:
        maker = Counting(parts.maker)
        watch = Noting(tmp_path / "bad.npz", maker)
        StepLoop(replace(parts, maker=maker), watch).epoch(0, lambda _: None)  # type: ignore[arg-type]

    assert watch.noted == made


class Asking(Term):
    """Notes in what numbers it is asked."""

    student_features = ("features",)

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(SIDE, SIDE))
        self.noted = list[object]()

    def forward(self, step: StepView) -> Tensor:
        maps = next(iter(step.student.features.values()))
        product = self.weight @ self.weight
        self.noted += [step.student.logits.dtype, maps.dtype, product.dtype]
        return step.student.logits.square().mean() + maps.square().mean() + product.mean()


def test_the_objective_is_computed_in_fp32_whatever_the_network_runs_in(stripes: Path, tmp_path: Path) -> None:
    term = {"name": "dann"}
    target = write_stripes(tmp_path / "target", seed=9, each=8)
    tables = {"data": {"target": str(target)}, "term": [term], "train": {"precision": "bf16", "max_steps": 1}}
    with parts_of(stripes, tmp_path, **tables) as parts:
        asking = Asking()
        StepLoop(replace(parts, objective=Objective([(1.0, asking)])), LossWatch(tmp_path / "bad.npz")).epoch(
            0, lambda _: None
        )

    assert asking.noted == [torch.float32] * 3


def test_what_terms_learn_is_known_to_sam(stripes: Path, tmp_path: Path) -> None:
    target = write_stripes(tmp_path / "target", seed=9, each=8)
    tables = {"data": {"target": str(target)}, "term": ["dann"], "train": {"sam": 0.05}}
    with parts_of(stripes, tmp_path, **tables) as parts:
        assert parts.sam is not None
        known = {*map(id, parts.network.module.parameters()), *map(id, parts.sam.others)}
        assert set(map(id, parts.objective.parameters()))
        assert known == set(map(id, parts.trained))


@pytest.mark.parametrize(
    ("tables", "steps", "said"),
    [
        ({}, 2, True),
        ({"model": {"batch_norm": "frozen"}}, 3, False),
        ({"transfer": "head"}, 3, False),
        ({"train": {"drop_last": True}}, 2, False),
        ({"train": {"batch_size": 19}}, 1, False),
        ({"train": {"batch_size": 1}}, 19, False),
    ],
)
def test_a_last_batch_of_one_picture_is_left_out_where_batch_norms_learn(
    stripes: Path, tmp_path: Path, tables: dict[str, Any], steps: int, said: bool
) -> None:
    tables = {**tables, "train": {"batch_size": 9, **tables.get("train", {})}}
    with parts_of(stripes, tmp_path, **tables) as parts:
        assert parts.steps == steps
        assert any("leaves out one picture" in note for note in parts.network.notes) == said


def test_batches_of_one_picture_that_a_batch_norm_can_t_take_are_said(stripes: Path, tmp_path: Path) -> None:
    tiny = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(SIDE * SIDE), nn.Linear(SIDE * SIDE, 2))
    with parts_of(stripes, tmp_path, train={"batch_size": 1}) as parts:
        loop = StepLoop(replace(parts, forward=tiny), LossWatch(tmp_path / "bad.npz"))
        with pytest.raises(TrainingError, match=r"batch of one picture.*train\.batch_size of 2 or more"):
            loop.epoch(0, lambda _: None)
