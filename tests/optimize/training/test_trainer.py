"""The loop against a hand-written one, and everything that a recipe can have it do."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from model_zoo.store import Store
from optimize.data.order import epoch_order
from optimize.data.read import read_data
from optimize.errors import CheckpointError, DataError, RecipeError, RunError, TrainingError
from optimize.judging.predictions import Predictions
from optimize.training.assembly import assembled
from optimize.training.checkpoint import load_checkpoint
from optimize.training.checkpoint_names import checkpoints
from optimize.training.ema import Ema
from optimize.training.epoch_log import EpochLog, read_metrics
from optimize.training.evaluate_network import EvaluationSet
from optimize.training.finished import EpochRow, Finished
from optimize.training.network.build import build_network
from optimize.training.recipe import Recipe
from optimize.training.reporter import Silent
from optimize.training.run_folder import RunFolder
from optimize.training.teacher.teacher import Teacher
from optimize.training.trainer import train
from tests.optimize.training.small_runs import SIDE, small_recipe, write_stripes


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def stripes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_stripes(tmp_path_factory.mktemp("stripes"))


def run(recipe: Recipe, folder: Path, **more: Any) -> Finished:  # noqa: ANN401
    return train(recipe, folder, export=False, **more)


def last_weights(folder: Path, key: str = "state_dict") -> dict[str, torch.Tensor]:
    weights: dict[str, torch.Tensor] = load_checkpoint(checkpoints(RunFolder(folder).checkpoints)[-1])[key]
    return weights


def bare_loop(recipe: Recipe, *, accumulate: int = 1, ema: float = 0.0) -> tuple[nn.Module, Ema | None, list[float]]:
    """The same training written out by hand: plain SGD, no augmentation, no schedule; the losses of each epoch."""
    data = read_data(recipe.data, recipe.seed)
    module = build_network(recipe.model, data.train.tasks, recipe.seed).module
    average = Ema(module, ema) if ema else None
    files = [recipe.data.train_paths[0].parent / data.train.identifier(index) for index in range(len(data.train))]
    pixels = np.stack([np.array(Image.open(file))[None] for file in files])
    mean, std = 73.0, 90.0  # grey28's
    inputs = torch.from_numpy(((pixels.astype(np.float64) - mean) / std).astype(np.float32))
    labels = torch.from_numpy(data.train.first_labels)
    size, losses = recipe.train.batch_size, []
    optimiser = torch.optim.SGD(module.parameters(), lr=recipe.optimiser.choice.lr)
    for epoch in range(recipe.train.epochs):
        module.train()
        order = torch.from_numpy(epoch_order(data.train.first_labels, recipe.seed, epoch))
        batches = list(order.split(size))
        total = 0.0
        for start in range(0, len(batches), accumulate):
            group = batches[start : start + accumulate]
            optimiser.zero_grad()
            for batch in group:
                loss = nn.functional.cross_entropy(module(inputs[batch]), labels[batch])
                (loss / len(group)).backward()
                total += float(loss.detach()) * len(batch)
            optimiser.step()
            if average:
                average.update()
        losses.append(total / len(order))
    return module, average, losses


PLAIN: dict[str, Any] = {
    "optimiser": {"name": "sgd", "lr": 0.05, "weight_decay": 0.0},
    "schedule": "constant",
    "model": {"dropout": 0.0},
}


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("channels_last", [False, True])
def test_it_does_what_a_hand_written_loop_does(
    stripes: Path, tmp_path: Path, accumulate: int, channels_last: bool
) -> None:
    options = {"accumulate": accumulate, "channels_last": channels_last, "ema": 0.9}
    recipe = small_recipe(stripes, **PLAIN, train=options)

    finished = run(recipe, tmp_path / "run")

    module, average, losses = bare_loop(recipe, accumulate=accumulate, ema=0.9)
    assert [row.train_loss for row in finished.rows] == pytest.approx(losses, rel=1e-4)
    for key, value in module.state_dict().items():
        torch.testing.assert_close(last_weights(tmp_path / "run")[key], value, rtol=1e-3, atol=1e-4)
    assert average is not None
    for key, value in average.network.state_dict().items():
        torch.testing.assert_close(last_weights(tmp_path / "run", "state_dict_ema")[key], value, rtol=1e-3, atol=1e-4)


def test_figures_of_an_epoch_are_those_of_scikit_learn(stripes: Path, tmp_path: Path) -> None:
    from sklearn.metrics import accuracy_score, log_loss

    finished = run(small_recipe(stripes), tmp_path / "run")

    saved = Predictions.load(RunFolder(tmp_path / "run").predictions("val"))
    rows = torch.from_numpy(saved.logits).double().softmax(1).numpy()
    last = finished.rows[-1]
    assert last.val_top1 == pytest.approx(accuracy_score(saved.labels, rows.argmax(1)))
    assert last.val_loss == pytest.approx(log_loss(saved.labels, rows))
    assert last.val_top5 == 1.0
    assert finished.val_top1 == last.val_top1


def test_stripes_are_learnt(stripes: Path, tmp_path: Path) -> None:
    finished = run(small_recipe(stripes, train={"epochs": 6}), tmp_path / "run")

    assert finished.rows[-1].train_loss < 0.5 * finished.rows[0].train_loss
    assert finished.rows[-1].train_top1 > 0.9


# Each is a whole run: everything that a recipe can ask of the loop, alone and together.
VARIANTS: dict[str, dict[str, Any]] = {
    "clipped": {"train": {"clip_norm": 0.1}},
    "sam": {"train": {"sam": 0.05, "accumulate": 2}},
    "progressive": {"train": {"sizes": [[0.5, 8]]}, "augment": ["flip"]},
    "augmented": {"augment": ["flip", {"name": "crop", "padding": 2}, "noise"], "mix": ["mixup", "cutmix"]},
    "repeated": {"data": {"repeats": 2, "sample": "balanced", "class_weights": True}, "augment": ["flip"]},
    "streamed": {"data": {"memory_mb": 0, "workers": 2}},
    "bf16": {"train": {"precision": "bf16"}},
    "two losses": {"loss": [{"name": "focal", "weight": 0.5}, {"name": "hinge", "weight": 0.5}]},
    "penalty": {"term": [{"name": "l2", "weight": 0.1}]},
    "frozen": {"transfer": {"name": "partial", "stages": 2}, "model": {"batch_norm": "frozen"}},
    "gradual": {"transfer": {"name": "gradual", "layer_decay": 0.5}},
    "cached": {"transfer": {"name": "head", "cached": True}},
    "re-estimated": {"train": {"reestimate_batch_norm": 2, "ema": 0.9}},
    "one cycle": {"schedule": "one_cycle", "optimiser": "nesterov"},
    "plateau": {"schedule": {"name": "plateau", "patience": 0}},
    "drop last": {"train": {"drop_last": True, "max_steps": 2}},
    "best": {"train": {"keep": "best", "epochs": 3}},
    "stochastic depth": {"model": {"drop_path": 0.2}},
    "stored larger": {"model": {"architecture": "grey28", "height": 24, "width": 24}},
}


@pytest.mark.parametrize("name", VARIANTS)
def test_every_way_of_training_ends_in_finite_figures(stripes: Path, tmp_path: Path, name: str) -> None:
    finished = run(small_recipe(stripes, **VARIANTS[name]), tmp_path / "run")

    assert len(finished.rows) == VARIANTS[name].get("train", {}).get("epochs", 2)
    assert all(np.isfinite([row.train_loss, row.val_loss or 0.0]).all() for row in finished.rows)
    assert read_metrics(finished.folder) == finished.rows


def test_what_is_frozen_stays(stripes: Path, tmp_path: Path) -> None:
    recipe = small_recipe(stripes, transfer={"name": "head"})

    run(recipe, tmp_path / "run")

    before = build_network(recipe.model, read_data(recipe.data, recipe.seed).train.tasks, recipe.seed).module
    after = last_weights(tmp_path / "run")
    moved = {key for key, value in before.state_dict().items() if not torch.equal(value, after[key])}
    assert moved == {"classifier.weight", "classifier.bias"}


def test_a_head_on_cached_features_learns_what_it_learns_on_pictures(stripes: Path, tmp_path: Path) -> None:
    plain = {"name": "sgd", "lr": 0.1, "weight_decay": 0.0}
    for name, cached in (("cached", True), ("seen", False)):
        model = {"dropout": 0.0}
        transfer = {"name": "head", "cached": cached}
        run(small_recipe(stripes, transfer=transfer, model=model, optimiser=plain), tmp_path / name)

    there, here = last_weights(tmp_path / "cached"), last_weights(tmp_path / "seen")
    torch.testing.assert_close(there["classifier.weight"], here["classifier.weight"], rtol=1e-4, atol=1e-5)


def test_distillation_from_an_earlier_run(stripes: Path, tmp_path: Path) -> None:
    train(small_recipe(stripes, train={"epochs": 1}), tmp_path / "teacher")
    tables = {"teacher": {"source": str(tmp_path / "teacher")}, "term": [{"name": "soft_label", "weight": 0.9}]}

    remembered = run(small_recipe(stripes, **tables), tmp_path / "plain")
    asked = run(small_recipe(stripes, **tables, augment=["flip"]), tmp_path / "augmented")

    assert list((tmp_path / "plain" / "teacher").glob("*.npy"))
    assert not (tmp_path / "augmented" / "teacher").exists()
    assert remembered.rows != asked.rows


@pytest.mark.parametrize(
    ("terms", "precision", "runs"),
    [
        (["soft_label"], "fp32", "graph"),
        (["soft_label"], "int8", "graph"),
        (["soft_label"], "bf16", "torch own"),
        (["soft_label", "attention_transfer"], "fp32", "torch own"),
    ],
)
def test_an_engine_runs_the_teacher_where_its_logits_in_fp32_are_all_that_is_wanted(
    stripes: Path, tmp_path: Path, terms: list[str], precision: str, runs: str
) -> None:
    train(small_recipe(stripes, train={"epochs": 1}), tmp_path / "teacher")
    teacher, on = {"source": str(tmp_path / "teacher")}, {"precision": precision, "device": "cpu"}
    recipe = small_recipe(stripes, teacher=teacher, term=terms, train=on)

    with assembled(recipe, read_data(recipe.data, recipe.seed), tmp_path, lambda _: None) as parts:
        assert parts.teacher is not None
        assert parts.teacher.endswith(runs)


def test_remembered_and_asked_teachers_say_the_same(stripes: Path, tmp_path: Path) -> None:
    train(small_recipe(stripes, train={"epochs": 1}), tmp_path / "teacher")
    term = [{"name": "soft_label", "weight": 0.9}]
    losses = []
    for cache in (True, False):
        teacher = {"source": str(tmp_path / "teacher"), "cache": cache}
        finished = run(small_recipe(stripes, teacher=teacher, term=term), tmp_path / f"student-{cache}")
        losses.append([row.train_loss for row in finished.rows])

    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


@pytest.mark.parametrize("name", ["coral", "dann"])
def test_adaptation_to_an_unlabelled_folder(stripes: Path, tmp_path: Path, name: str) -> None:
    target = write_stripes(tmp_path / "target", seed=9, each=4)
    data = {"target": str(target)}

    adapted = run(small_recipe(stripes, data=data, term=[{"name": name}]), tmp_path / "adapted")
    plain = run(small_recipe(stripes, data=data), tmp_path / "plain")

    assert adapted.rows[0].train_loss > 0
    assert adapted.rows != plain.rows


def test_statistics_of_the_target_folder(stripes: Path, tmp_path: Path) -> None:
    target = write_stripes(tmp_path / "target", seed=9, each=4)

    finished = run(
        small_recipe(stripes, data={"target": str(target)}, transfer={"name": "full", "adapt_batch_norm": True}),
        tmp_path / "run",
    )

    saved = Predictions.load(finished.folder.predictions("val"))
    judged = finished.rows[-1].val_loss
    rows = torch.from_numpy(saved.logits).double().log_softmax(1).numpy()
    assert judged is not None
    assert -rows[np.arange(len(saved)), saved.labels].mean() != pytest.approx(judged)


def test_several_tasks(tmp_path: Path) -> None:
    write_stripes(tmp_path / "pictures", each=16)
    lines = ["picture,leans,even"]
    for number in range(2):
        lines += [
            f"pictures/class{number}/{index:03}.png,{'left' if number else 'right'},{'yes' if index % 2 else 'no'}"
            for index in range(16)
        ]
    (tmp_path / "labels.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    data = {"label_columns": ["leans", "even"]}

    finished = train(small_recipe(tmp_path / "labels.csv", data=data), tmp_path / "run")

    assert set(finished.rows[-1].other_top1) == {"even"}
    assert (finished.folder.root / "predictions" / "val-even.npz").exists()
    assert sorted(path.name for path in finished.folder.store.iterdir()) == ["stripes", "stripes-even"]


def write_two_columns(folder: Path, *, each: int, seed: int, has_even: bool) -> Path:
    write_stripes(folder / "pictures", each=each, seed=seed)
    lines = ["picture,leans,even"]
    for number in range(2):
        lines += [
            f"pictures/class{number}/{index:03}.png,{'left' if number else 'right'},"
            + (("yes" if index % 2 else "no") if has_even else "")
            for index in range(each)
        ]
    path = folder / "labels.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_a_test_set_may_lack_the_labels_of_a_column(tmp_path: Path) -> None:
    pictures = write_two_columns(tmp_path / "train", each=16, seed=0, has_even=True)
    test = write_two_columns(tmp_path / "test", each=4, seed=7, has_even=False)
    data = {"label_columns": ["leans", "even"], "test": str(test)}

    finished = train(small_recipe(pictures, data=data), tmp_path / "run")

    assert finished.test_top1 is not None
    there = {path.name for path in (finished.folder.root / "predictions").iterdir()}
    assert there == {"val.npz", "test.npz", "val-even.npz"}
    store = Store(finished.folder.store)
    assert {one.split for one in store.open("stripes").manifest.accuracy} == {"validation", "test"}
    assert {one.split for one in store.open("stripes-even").manifest.accuracy} == {"validation"}


def test_columns_whose_bundles_would_be_called_alike_are_refused_at_once(tmp_path: Path) -> None:
    path = write_two_columns(tmp_path, each=16, seed=0, has_even=True)
    text = path.read_text(encoding="utf-8").splitlines()
    path.write_text(
        "\n".join(["picture,leans,尺寸,颜色", *(f"{row},{row.split(',')[-1]}" for row in text[1:])]), encoding="utf-8"
    )

    with pytest.raises(RecipeError, match="would both be called 'stripes-task'"):
        train(small_recipe(path, data={"label_columns": ["leans", "尺寸", "颜色"]}), tmp_path / "run")

    assert not (tmp_path / "run").exists()


def test_the_loss_is_no_number(stripes: Path, tmp_path: Path) -> None:
    wild = {"name": "sgd", "lr": 1e30, "weight_decay": 0.0}

    with pytest.raises(TrainingError, match=r"in epoch \d, step \d: training has stopped.*learning rate"):
        run(small_recipe(stripes, optimiser=wild, schedule="constant"), tmp_path / "run")

    with np.load(RunFolder(tmp_path / "run").bad_batch) as saved:
        assert saved["pictures"].shape[1:] == (1, SIDE, SIDE)
        assert len(saved["targets"]) == len(saved["indices"]) == len(saved["logits"]) == len(saved["pictures"])
        assert not np.isfinite(saved["loss"])


def test_a_batch_that_can_t_be_kept_does_not_hide_what_happened(stripes: Path, tmp_path: Path) -> None:
    wild = {"name": "sgd", "lr": 1e30, "weight_decay": 0.0}
    in_the_way = RunFolder(tmp_path / "run").bad_batch

    class Blocking(Silent):
        def begin(self, done: int, epochs: int, steps: int) -> None:
            in_the_way.mkdir()

    with pytest.raises(TrainingError, match=r"training has stopped\. The batch could not be kept \(.*directory"):
        run(small_recipe(stripes, optimiser=wild, schedule="constant"), tmp_path / "run", reporter=Blocking())


def test_a_last_step_that_ruins_the_weights_is_noticed(stripes: Path, tmp_path: Path) -> None:
    wild = {"name": "sgd", "lr": 1e38, "weight_decay": 0.0}
    whole = {"epochs": 1, "batch_size": 64}  # one step: its loss is a number, what it leaves behind is not

    with pytest.raises(TrainingError, match=r"answers to 6 of 6 pictures of .* are not numbers"):
        run(small_recipe(stripes, optimiser=wild, schedule="constant", train=whole), tmp_path / "run")

    assert not checkpoints(RunFolder(tmp_path / "run").checkpoints)


def test_weights_that_a_last_step_ruins_are_not_kept_where_nobody_looks(stripes: Path, tmp_path: Path) -> None:
    wild = {"name": "sgd", "lr": 1e39, "weight_decay": 0.0}
    options = {"epochs": 2, "batch_size": 64, "validate_every": 2}

    with pytest.raises(TrainingError, match="the weights are not numbers after the last step of epoch 1"):
        run(small_recipe(stripes, optimiser=wild, schedule="constant", train=options), tmp_path / "run")

    assert not checkpoints(RunFolder(tmp_path / "run").checkpoints)


class StoppedHereError(Exception):
    pass


def stop(row: EpochRow) -> None:
    raise StoppedHereError


def other_weights(recipe: Recipe, path: Path, seed: int) -> None:
    module = build_network(recipe.model, read_data(recipe.data, recipe.seed).train.tasks, seed).module
    torch.save(module.state_dict(), path)


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        ({"model": {"weights": "{file}"}}, "from other starting weights"),
        (
            {"teacher": {"source": "{file}", "architecture": "grey28"}, "term": ["soft_label"], "augment": ["flip"]},
            "with another teacher",
        ),
    ],
)
def test_what_a_run_began_from_may_not_be_replaced(
    stripes: Path, tmp_path: Path, tables: dict[str, Any], said: str
) -> None:
    file = tmp_path / "weights.pt"
    placed = json.loads(json.dumps(tables).replace("{file}", str(file)))
    recipe = small_recipe(stripes, **placed)
    other_weights(small_recipe(stripes), file, 1)
    with pytest.raises(StoppedHereError):
        run(recipe, tmp_path / "run", watch=stop)

    other_weights(small_recipe(stripes), file, 2)
    with pytest.raises(CheckpointError, match=said):
        run(recipe, tmp_path / "run")

    other_weights(small_recipe(stripes), file, 1)
    assert len(run(recipe, tmp_path / "run").rows) == 2


def test_what_is_opened_is_closed_where_a_run_is_stopped(
    stripes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = list[str]()
    for kind in (EvaluationSet, EpochLog, Teacher):
        monkeypatch.setattr(kind, "close", lambda self, name=kind.__name__: closed.append(name))
    file = tmp_path / "teacher.pt"
    other_weights(small_recipe(stripes), file, 1)
    teacher = {"source": str(file), "architecture": "grey28"}

    with pytest.raises(StoppedHereError):
        run(small_recipe(stripes, teacher=teacher, term=["soft_label"]), tmp_path / "run", watch=stop)

    assert closed == ["EpochLog", "EvaluationSet", "Teacher"]


def test_early_stopping_and_the_best_weights(stripes: Path, tmp_path: Path) -> None:
    options = {"epochs": 30, "early_stopping": 2, "keep": "best"}

    finished = run(small_recipe(stripes, train=options), tmp_path / "run")

    assert len(finished.rows) == finished.best_epoch + 2 < 30
    best = finished.rows[finished.best_epoch - 1]
    assert finished.val_top1 == best.val_top1 == max(row.val_top1 or 0 for row in finished.rows)
    state = json.loads(finished.folder.state.read_text(encoding="utf-8"))
    assert (state["status"], state["stopped_early"]) == ("finished", True)


def test_looks_at_the_validation_set_are_as_rare_as_asked(stripes: Path, tmp_path: Path) -> None:
    finished = run(small_recipe(stripes, train={"epochs": 5, "validate_every": 2}), tmp_path / "run")

    assert [row.val_top1 is not None for row in finished.rows] == [False, True, False, True, True]


def test_a_finished_run_is_only_read(stripes: Path, tmp_path: Path) -> None:
    recipe, told = small_recipe(stripes), list[EpochRow]()
    first = run(recipe, tmp_path / "run")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*") if path.is_file()}

    again = run(recipe, tmp_path / "run", watch=told.append)

    assert again.was_finished
    assert not first.was_finished
    assert (again.rows, again.val_top1, tuple(told)) == (first.rows, first.val_top1, first.rows)
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_another_recipe_in_the_same_folder_is_refused_with_what_differs(stripes: Path, tmp_path: Path) -> None:
    run(small_recipe(stripes), tmp_path / "run")

    with pytest.raises(RunError, match=r"train.epochs was 2, is 3; .*choose another folder|train.epochs was 2, is 3"):
        run(small_recipe(stripes, train={"epochs": 3}), tmp_path / "run")
    with pytest.raises(RunError, match=r"augment was \[\], is \["):
        run(small_recipe(stripes, augment=["flip"]), tmp_path / "run")


def test_threads_and_places_may_change(stripes: Path, tmp_path: Path) -> None:
    run(small_recipe(stripes), tmp_path / "run")
    moved = write_stripes(tmp_path / "moved")

    again = run(small_recipe(moved, data={"workers": 2}), tmp_path / "run")

    assert again.was_finished


def test_other_data_are_refused(stripes: Path, tmp_path: Path) -> None:
    with pytest.raises(StoppedHereError):
        run(small_recipe(stripes), tmp_path / "run", watch=stop)
    other = write_stripes(tmp_path / "other", seed=1)
    with pytest.raises(RunError, match="begun with other data"):
        run(small_recipe(other), tmp_path / "run")


def test_a_finished_run_is_not_taken_for_one_of_other_data(stripes: Path, tmp_path: Path) -> None:
    recipe = small_recipe(stripes)
    data = read_data(recipe.data, recipe.seed)
    run(recipe, tmp_path / "run", data=data)
    assert run(recipe, tmp_path / "run", data=data).was_finished
    other = read_data(small_recipe(write_stripes(tmp_path / "other", seed=1)).data, recipe.seed)
    with pytest.raises(RunError, match="begun with other data"):
        run(recipe, tmp_path / "run", data=other)


def test_a_folder_of_something_else_is_left_alone(stripes: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("my life's work", encoding="utf-8")

    with pytest.raises(RunError, match=r"no training run \(thesis.txt\)"):
        run(small_recipe(stripes), tmp_path)

    assert {path.name for path in tmp_path.iterdir()} == {"thesis.txt"}


def test_a_file_is_no_folder_of_a_run(stripes: Path, tmp_path: Path) -> None:
    (tmp_path / "run").write_text("mine", encoding="utf-8")

    with pytest.raises(RunError, match="run is a file; choose a folder"):
        run(small_recipe(stripes), tmp_path / "run")

    assert (tmp_path / "run").read_text(encoding="utf-8") == "mine"


def test_what_fails_at_once_leaves_no_folder(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()

    with pytest.raises(DataError):
        run(small_recipe(tmp_path / "empty"), tmp_path / "run")

    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        ({"term": ["soft_label"]}, "teacher"),
        ({"term": ["coral"]}, "data.target"),
        ({"transfer": {"name": "full", "adapt_batch_norm": True}}, "data.target"),
        ({"transfer": {"name": "head", "cached": True}, "augment": ["flip"]}, "cached = false"),
        ({"train": {"device": "cuda"}}, "no CUDA device"),
        ({"train": {"precision": "fp16"}}, "needs a GPU"),
    ],
)
@pytest.mark.skipif(torch.cuda.is_available(), reason="two of these are fine with a GPU")
def test_techniques_that_do_not_fit_are_refused(
    stripes: Path, tmp_path: Path, tables: dict[str, Any], said: str
) -> None:
    with pytest.raises(RecipeError, match=said):
        run(small_recipe(stripes, **tables), tmp_path / "run")


def test_two_processes_do_not_train_in_one_folder(stripes: Path, tmp_path: Path) -> None:
    recipe = small_recipe(stripes)

    def train_too(row: EpochRow) -> None:
        with pytest.raises(RunError, match="another process is training"):
            run(recipe, tmp_path / "run")

    finished = run(recipe, tmp_path / "run", watch=train_too)

    assert len(finished.rows) == 2
