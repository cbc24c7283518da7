"""Searches with a training that is a formula: what is found, what survives a kill, what is refused."""

import contextlib
import fcntl
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from optimize.data.read import Data
from optimize.errors import RecipeError, RunError, TrainingError
from optimize.search import results
from optimize.search.results import SearchResult, publish
from optimize.search.run import run_search
from optimize.training.compound_run import Tools
from optimize.training.recipe import Recipe
from tests.optimize.search.fakes import LR, FakeTrainer, fake_data, fake_tools, recipe_with


def without_pruning(**more: object) -> dict[str, object]:
    return {"space": LR, "n_trials": 8, "pruner": "none", **more}


def searched(recipe: Recipe, folder: Path, tools: Tools, **more: Callable[[], float]) -> SearchResult:
    """A search without its page and in a journal: drawing and SQLite take longer than all else here."""
    assert recipe.search is not None
    quick = recipe.search.model_copy(update={"storage": recipe.search.storage or f"journal:{folder}.journal"})
    return run_search(recipe.model_copy(update={"search": quick}), folder, tools, page=False, **more)


def lr_of(result: SearchResult, number: int | None) -> float:
    assert number is not None
    lr = result.trial(number).parameters["optimiser.lr"]
    assert isinstance(lr, float)
    return lr


def test_the_best_of_a_grid_is_the_formulas_best(tmp_path: Path) -> None:
    space = {"optimiser.lr": {"low": 1e-4, "high": 1.0, "log": True, "points": 5}, "train.batch_size": [32, 64]}
    result = searched(
        recipe_with({"space": space, "sampler": "grid", "pruner": "none"}), tmp_path / "run", fake_tools()
    )
    assert len(result.trials) == 10, "a grid ends when all its points were tried"
    assert len({repr(one.parameters) for one in result.trials}) == 10
    assert result.best is not None
    best = result.trial(result.best)
    assert best.parameters == {"optimiser.lr": pytest.approx(0.01), "train.batch_size": 64}
    assert best.values == (pytest.approx(0.9 * (1 - 0.5**4)),)
    assert (tmp_path / "run/store/searched/1/CARD.md").read_text() == f"{result.best:04}"


@pytest.mark.parametrize("sampler", ["random", "tpe", {"name": "tpe", "startup": 3}, {"name": "gp", "startup": 3}])
def test_the_same_seed_searches_alike_and_another_does_not(sampler: object, tmp_path: Path) -> None:
    runs = [
        searched(recipe_with(without_pruning(sampler=sampler), seed=seed), tmp_path / name, fake_tools())
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    ]
    a, b, c = ([lr_of(run, one.number) for one in run.trials] for run in runs)
    assert a == b
    assert a != c


@pytest.mark.parametrize("sampler", ["tpe", "gp"])
def test_a_learning_sampler_closes_in(sampler: str, tmp_path: Path) -> None:
    search = without_pruning(sampler={"name": sampler, "startup": 5}, n_trials=20)
    result = searched(recipe_with(search), tmp_path / "run", fake_tools())
    late = [abs(math.log10(lr_of(result, one.number)) + 2) for one in result.trials[-8:]]
    assert sorted(late)[4] < 0.6, "the middle of the late trials is near the best; drawn evenly it would be at 1"


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.mark.parametrize("sampler", ["random", {"name": "tpe", "startup": 3}, {"name": "gp", "startup": 3}])
@pytest.mark.parametrize("pruner", ["none", {"name": "median", "startup": 2, "warmup": 0}])
def test_a_killed_search_goes_on_to_the_same_end(sampler: object, pruner: object, tmp_path: Path) -> None:
    recipe = recipe_with(without_pruning(sampler=sampler, pruner=pruner))
    whole = searched(recipe, tmp_path / "whole", fake_tools())

    deaths = [("0002", 1), ("0005", 3), ("0005", 4)]
    trainer = FakeTrainer()

    def after_epoch(folder: Path, epoch: int) -> None:
        if (folder.name, epoch) in deaths:
            deaths.remove((folder.name, epoch))
            raise Killed

    trainer.after_epoch = after_epoch
    starts, result = 0, None
    while result is None:
        starts += 1
        with contextlib.suppress(Killed):
            result = searched(recipe, tmp_path / "killed", fake_tools(trainer))
    assert starts > 1
    assert result == whole
    assert (tmp_path / "killed/search.json").read_bytes() == (tmp_path / "whole/search.json").read_bytes()
    assert len(trainer.epochs) == len(set(trainer.epochs)), "no epoch was trained twice"


def test_a_finished_search_trains_nothing_and_more_trials_continue_it(tmp_path: Path) -> None:
    searched(recipe_with(without_pruning(n_trials=3)), tmp_path / "run", fake_tools())
    idle = FakeTrainer()
    again = searched(recipe_with(without_pruning(n_trials=3)), tmp_path / "run", fake_tools(idle))
    assert (len(again.trials), idle.epochs) == (3, [])
    more = searched(recipe_with(without_pruning(n_trials=5)), tmp_path / "run", fake_tools(idle))
    assert [one.number for one in more.trials] == [0, 1, 2, 3, 4]
    assert {folder for folder, _ in idle.epochs} == {"0003", "0004"}


def test_bad_trials_end_early_and_good_ones_do_not(tmp_path: Path) -> None:
    space = {"optimiser.lr": [0.01, 0.02, 0.03, 0.9, 1.0]}
    search = {
        "space": space,
        "sampler": "random",
        "n_trials": 20,
        "pruner": {"name": "median", "startup": 2, "warmup": 0},
    }
    trainer = FakeTrainer()
    result = searched(recipe_with(search), tmp_path / "run", fake_tools(trainer))
    pruned = [one for one in result.trials if one.state == "pruned"]
    assert pruned
    assert all(lr_of(result, one.number) > 0.01 for one in pruned), "the best is never below the median"
    assert all(len(one.epochs) < 4 for one in pruned)
    assert len(trainer.epochs) < 20 * 4


@pytest.mark.parametrize("pruner", ["successive_halving", "hyperband"])
def test_halving_spends_less_than_everything(pruner: str, tmp_path: Path) -> None:
    search = without_pruning(pruner=pruner, n_trials=15, sampler="random")
    trainer = FakeTrainer()
    recipe = recipe_with(search, train={"epochs": 9})
    result = searched(recipe, tmp_path / "run", fake_tools(trainer))
    assert any(one.state == "pruned" for one in result.trials)
    assert len(trainer.epochs) < 15 * 9


def test_a_failed_trial_keeps_its_reason_and_the_search_goes_on(tmp_path: Path) -> None:
    trainer = FakeTrainer(fails=lambda recipe: "the loss is no number" if recipe.train.batch_size == 128 else None)
    space = {"train.batch_size": [32, 64, 128]}
    said: list[str] = []
    result = searched(recipe_with({"space": space, "sampler": "grid"}), tmp_path / "run", fake_tools(trainer, said))
    failed = [one for one in result.trials if one.state == "failed"]
    assert [one.parameters["train.batch_size"] for one in failed] == [128]
    assert failed[0].reason == "TrainingError: the loss is no number"
    assert any("the loss is no number" in line for line in said)
    assert result.best is not None


def test_trials_that_all_fail_end_the_search(tmp_path: Path) -> None:
    trainer = FakeTrainer(fails=lambda recipe: "no memory")
    with pytest.raises(TrainingError, match=r"the first 5 trials all failed.*no memory"):
        searched(recipe_with(without_pruning(n_trials=50)), tmp_path / "run", fake_tools(trainer))
    with pytest.raises(TrainingError, match=r"every trial failed.*no memory"):
        searched(recipe_with(without_pruning(n_trials=2)), tmp_path / "few", fake_tools(trainer))


def test_a_search_that_fails_or_is_interrupted_leaves_what_it_found(tmp_path: Path) -> None:
    trainer = FakeTrainer(fails=lambda recipe: "no memory")
    with pytest.raises(TrainingError, match="first 5 trials"):
        run_search(recipe_with(without_pruning(n_trials=50)), tmp_path / "hopeless", fake_tools(trainer))
    found = json.loads((tmp_path / "hopeless/search.json").read_text())
    assert {one["reason"] for one in found["trials"]} == {"TrainingError: no memory"}
    assert "no memory" in (tmp_path / "hopeless/search.html").read_text()

    def ctrl_c(folder: Path, epoch: int) -> None:
        if folder.name == "0002":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        searched(recipe_with(without_pruning()), tmp_path / "left", fake_tools(FakeTrainer(after_epoch=ctrl_c)))
    found = json.loads((tmp_path / "left/search.json").read_text())
    assert [one["state"] for one in found["trials"]] == ["complete", "complete", "running"]
    assert (tmp_path / "left/store/searched/1/CARD.md").read_text() == f"{found['best']:04}"


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), RunError("the disk is full")])
def test_a_trial_that_was_stopped_is_not_given_up(stop: BaseException, tmp_path: Path) -> None:
    stops = [stop] * 5
    trainer = FakeTrainer()

    def after_epoch(folder: Path, epoch: int) -> None:
        if folder.name == "0001" and epoch == 1 and stops:
            (folder / "metrics.csv").unlink()
            raise stops.pop()

    trainer.after_epoch = after_epoch
    for _ in range(5):
        with pytest.raises(type(stop)):
            searched(recipe_with(without_pruning(n_trials=2)), tmp_path / "run", fake_tools(trainer))
    result = searched(recipe_with(without_pruning(n_trials=2)), tmp_path / "run", fake_tools(trainer))
    assert [one.state for one in result.trials] == ["complete", "complete"]


def test_a_trial_that_always_ends_its_process_is_given_up(tmp_path: Path) -> None:
    trainer = FakeTrainer()

    def after_epoch(folder: Path, epoch: int) -> None:
        if folder.name == "0001" and epoch == 2:
            (folder / "metrics.csv").write_text("epoch,val_loss,val_top1\n1,0.5,0.5\n")
            raise Killed

    trainer.after_epoch = after_epoch
    for _ in range(4):
        with pytest.raises(Killed):
            searched(recipe_with(without_pruning(n_trials=3)), tmp_path / "run", fake_tools(trainer))
    result = searched(recipe_with(without_pruning(n_trials=3)), tmp_path / "run", fake_tools(trainer))
    assert result.trial(1).state == "failed"
    assert "without a further epoch" in str(result.trial(1).reason)
    assert result.trial(2).state == "complete"


def test_the_time_limit_begins_no_further_trial(tmp_path: Path) -> None:
    minutes = iter(range(1000))
    recipe = recipe_with(without_pruning(time_limit_min=3.5, n_trials=100))
    result = searched(recipe, tmp_path / "run", fake_tools(), clock=lambda: 60.0 * next(minutes))
    assert len(result.trials) == 3


def test_loss_is_made_small(tmp_path: Path) -> None:
    result = searched(recipe_with(without_pruning(objective="val_loss")), tmp_path / "run", fake_tools())
    losses = [one.values[0] for one in result.trials]
    assert result.best == losses.index(min(losses))


def test_data_are_read_once_unless_the_space_reaches_into_them(tmp_path: Path) -> None:
    trainer = FakeTrainer()
    searched(recipe_with(without_pruning(n_trials=3)), tmp_path / "a", fake_tools(trainer))
    assert len({id(data.train) for data in trainer.data if data}) == 1
    other = FakeTrainer()
    search = {"space": {"data.repeats": [1, 2]}, "sampler": "grid", "pruner": "none"}
    searched(recipe_with(search), tmp_path / "b", fake_tools(other))
    assert len({id(data.train) for data in other.data if data}) == 2
    assert all(data is not None and data.test is None for data in other.data), "the test set is for the end"


def test_conditions_leave_fields_out(tmp_path: Path) -> None:
    space = {
        "optimiser.name": ["adamw", "momentum"],
        "optimiser.lr": {"low": 0.001, "high": 0.1},
        "optimiser.momentum": {"low": 0.5, "high": 0.9, "when": {"optimiser.name": "momentum"}},
    }
    search = {"space": space, "sampler": "random", "n_trials": 8, "pruner": "none"}
    result = searched(recipe_with(search), tmp_path / "run", fake_tools())
    assert {one.state for one in result.trials} == {"complete"}
    for one in result.trials:
        assert ("optimiser.momentum" in one.parameters) == (one.parameters["optimiser.name"] == "momentum")


def test_a_folder_of_another_search_is_refused(tmp_path: Path) -> None:
    searched(recipe_with(without_pruning(n_trials=1)), tmp_path / "run", fake_tools())
    with pytest.raises(RunError, match=r"train.epochs"):
        searched(recipe_with(without_pruning(n_trials=1), train={"epochs": 5}), tmp_path / "run", fake_tools())
    (tmp_path / "other").mkdir()
    (tmp_path / "other/thesis.tex").touch()
    with pytest.raises(RunError, match="--out"):
        searched(recipe_with(without_pruning(n_trials=1)), tmp_path / "other", fake_tools())


@pytest.mark.parametrize(
    ("space", "says"),
    [
        ({"optimiser.lrr": [1.0]}, "did you mean 'lr'"),
        ({"optimizer.lr": [1.0]}, "did you mean 'optimiser'"),
        ({"train.epochs.many": [1]}, "train.epochs"),
        ({"train.epochs": {"low": 0, "high": 4}}, "epochs"),
        ({"augment.flip.share": [0.5]}, "no such entry"),
        ({"search.n_trials": [1]}, "search"),
    ],
)
def test_a_space_that_does_not_fit_is_refused_before_anything_is_made(
    space: dict[str, object], says: str, tmp_path: Path
) -> None:
    with pytest.raises(RecipeError, match=says):
        searched(recipe_with({"space": space}), tmp_path / "run", fake_tools())
    assert not (tmp_path / "run").exists()


def test_a_search_goes_on_whatever_may_change(tmp_path: Path) -> None:
    first = recipe_with(without_pruning(n_trials=3))
    searched(first, tmp_path / "run", fake_tools())
    moved = recipe_with(
        without_pruning(n_trials=5, time_limit_min=600),
        data={"train": "elsewhere", "workers": 3},
        train={"epochs": 4, "threads": 4, "device": "cpu"},
    )
    trainer = FakeTrainer()
    result = searched(moved, tmp_path / "run", fake_tools(trainer))
    assert [one.number for one in result.trials] == [0, 1, 2, 3, 4]
    assert {folder for folder, _ in trainer.epochs} == {"0003", "0004"}


def test_two_searches_with_one_storage_keep_apart(tmp_path: Path) -> None:
    recipe = recipe_with(without_pruning(n_trials=2, storage=f"journal:{tmp_path / 'both.journal'}"))
    for folder in ("a", "b"):
        trainer = FakeTrainer()
        searched(recipe, tmp_path / folder, fake_tools(trainer))
        assert {name for name, _ in trainer.epochs} == {"0000", "0001"}


def test_a_storage_that_does_not_know_the_trials_is_refused(tmp_path: Path) -> None:
    def stored(name: str) -> Recipe:
        return recipe_with(without_pruning(n_trials=3, storage=f"journal:{tmp_path / name}"))

    first = searched(stored("one"), tmp_path / "run", fake_tools())
    with pytest.raises(RunError, match=r"holds trials, and search\.storage = .*two.* knows nothing of them"):
        searched(stored("two"), tmp_path / "run", fake_tools())
    (tmp_path / "one").rename(tmp_path / "three")
    assert searched(stored("three"), tmp_path / "run", fake_tools()) == first


@pytest.mark.parametrize("space", [LR, {"data.repeats": [1, 2]}])
def test_a_search_does_not_go_on_with_other_data(space: dict[str, object], tmp_path: Path) -> None:
    def tools(fingerprint: str) -> Tools:
        def read(recipe: Recipe) -> Data:
            return fake_data(fingerprint=fingerprint)

        return replace(fake_tools(), read=read)

    searched(recipe_with(without_pruning(n_trials=4, space=space, sampler="random")), tmp_path / "run", tools("one"))
    more = recipe_with(without_pruning(n_trials=8, space=space, sampler="random"))
    with pytest.raises(RunError, match="begun with other data"):
        searched(more, tmp_path / "run", tools("two"))
    assert len(searched(more, tmp_path / "run", tools("one")).trials) == 8


def test_the_store_is_replaced_whole_by_one_process_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def watched(trial: Path, folder: Path) -> None:
        with (folder / "trials/.claims/all").open("ab") as file, pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        publish(trial, folder)

    monkeypatch.setattr(results, "publish", watched)
    run = tmp_path / "run"
    first = searched(recipe_with(without_pruning(n_trials=1)), run, fake_tools())
    (run / ".store-making" / "half").mkdir(parents=True)
    (run / "store").rename(run / ".store-before")  # killed between the two renames
    assert searched(recipe_with(without_pruning(n_trials=1)), run, fake_tools()) == first
    assert (run / "store/searched/1/CARD.md").read_text() == "0000"
    assert list(run.glob(".store-*")) == []


def test_a_store_that_can_not_be_made_is_told_in_words(tmp_path: Path) -> None:
    (tmp_path / "trial" / "store").mkdir(parents=True)
    (tmp_path / "trial" / "store" / "gone").symlink_to("nowhere")
    (tmp_path / "store").mkdir()
    with pytest.raises(RunError, match="store can't be made from"):
        publish(tmp_path / "trial", tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["store", "trial"]


def test_a_recipe_without_a_search_is_refused(tmp_path: Path) -> None:
    recipe = recipe_with(without_pruning()).model_copy(update={"search": None})
    with pytest.raises(RecipeError, match=r"no \[search\]"):
        run_search(recipe, tmp_path / "run", fake_tools())


def test_search_json_is_what_was_found(tmp_path: Path) -> None:
    result = searched(recipe_with(without_pruning()), tmp_path / "run", fake_tools())
    content = json.loads((tmp_path / "run/search.json").read_text())
    assert content == result.to_json()
    assert [one["state"] for one in content["trials"]] == ["complete"] * 8
    assert content["importances"]["fanova"] == {"optimiser.lr": 1.0}
