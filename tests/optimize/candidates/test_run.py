"""Whole runs on small pictures, and runs that are cut short."""

import errno
import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import onnx
import pytest

from model_zoo.errors import BundleError
from model_zoo.store import Store
from optimize.candidates import graph_step
from optimize.candidates import run as running
from optimize.candidates.bench import Bench
from optimize.candidates.opening import open_bench, open_parent
from optimize.candidates.recipe import PARENT, OptimizeRecipe
from optimize.candidates.result import Result
from optimize.candidates.run import ADDED, Run
from optimize.candidates.writing import write_all
from optimize.errors import DataError, RecipeError, RunError
from optimize.training.trainer import train
from tests.optimize.candidates.small import INT8, lost, recipe, speed
from tests.optimize.training.small_runs import SIDE

SMALLER = {"name": "resize", "height": 12}
TRAINED = {"name": "finetune", "epochs": 1}
SPARSE = {"name": "sparsify", "share": 0.5}
CHAINS = (
    {"name": "int8", "steps": [INT8]},
    {"name": "px12", "steps": [SMALLER, TRAINED]},
    {"name": "px12-int8", "steps": [SMALLER, TRAINED, INT8]},
)
# Of passes alone, which take no time.
QUICK = (
    {"name": "int8", "steps": [INT8]},
    {"name": "sparse", "steps": [SPARSE]},
    {"name": "sparse-int8", "steps": [SPARSE, INT8]},
)


class Cut(Exception):
    """The process is gone."""


def opened(one: OptimizeRecipe, folder: Path, say: Callable[[str], None] = lambda _: None) -> Bench:
    parent = open_parent(one.model, Store(folder.parent / "store"), folder)
    return open_bench(one, folder, parent, train, say)


def optimize(one: OptimizeRecipe, folder: Path, **more: Any) -> Result:  # noqa: ANN401
    bench = opened(one, folder)
    return write_all(Run(bench, **more), bench)


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was timed, by precision; nothing takes time."""
    taken: list[str] = []

    def measure(candidate: Any, parent: Any, _: object) -> Any:  # noqa: ANN401
        taken.append(f"{candidate.precision} {candidate.spec.height}")
        return speed(4.0 if candidate.bundle is not parent.bundle else 1.0)

    monkeypatch.setattr(running, "measure_speed", measure)
    return taken


def test_every_candidate_is_made_measured_and_judged(tmp_path: Path) -> None:
    result = optimize(recipe(tmp_path, *CHAINS, budget={"max_drop": 100.0}), tmp_path / "run")
    assert [one.name for one in result.candidates] == [PARENT, "int8", "px12", "px12-int8"]
    assert all(one.state == "made" and one.speed and one.val for one in result.candidates)
    by_name = {one.name: one for one in result.candidates}
    assert by_name["px12"].height == 12
    assert by_name["px12"].macs < by_name[PARENT].macs == by_name["int8"].macs
    assert by_name["int8"].bytes < 0.7 * by_name[PARENT].bytes
    assert by_name["int8"].val.n == result.pictures["val"] == 10
    store = Store(tmp_path / "run" / "store")
    kept = {one.name for one in result.candidates if one.is_on_front} - {PARENT}
    assert {f"stripes-{name}" for name in kept} == set(store.names())
    assert kept, "what is in INT8 is smaller, whatever it loses"
    written = json.loads((tmp_path / "run" / "result.json").read_text())
    assert written == json.loads(json.dumps(asdict(result)))
    page = (tmp_path / "run" / "report.html").read_text()
    assert all(name in page for name in by_name)


def test_a_bundle_says_in_which_precision_it_computes(tmp_path: Path, measured: list[str]) -> None:
    half, wide = {"name": "float16", "form": "compute"}, {"name": "float32"}
    chains = {"half": [half], "stored": [{"name": "float16"}], "wide": [half, wide], "int8": [half, INT8]}
    optimize(recipe(tmp_path, *({"name": name, "steps": steps} for name, steps in chains.items())), tmp_path / "run")
    parent, *candidates = measured
    assert parent == f"fp32 {SIDE}"
    assert candidates == [f"{one} {SIDE}" for one in ("fp16", "fp32", "fp32", "int8")]


def test_a_bundle_tells_where_it_comes_from(tmp_path: Path, measured: list[str]) -> None:
    optimize(recipe(tmp_path, budget={"max_drop": 100.0}), tmp_path / "run")
    bundle = Store(tmp_path / "run" / "store").open("stripes-int8")
    assert bundle.spec.precision == "int8"
    assert bundle.manifest.lineage.parent == "stripes/1"
    assert [one.name for one in bundle.manifest.lineage.passes] == ["parent", "data", "quantize_int8"]
    assert {one.split for one in bundle.manifest.accuracy} == {"validation", "test"}
    assert [one.batch for one in bundle.manifest.latency] == [1, 8]
    card = bundle.read("CARD.md").decode()
    assert "4.00 times the parent's speed" in card
    assert "pictures that no candidate was made or chosen by" in card


def test_a_finished_run_measures_nothing_again(tmp_path: Path, measured: list[str]) -> None:
    one = recipe(tmp_path, *QUICK)
    first = optimize(one, tmp_path / "run")
    taken = list(measured)
    assert optimize(one, tmp_path / "run") == first
    assert measured == taken == ["fp32 16", "int8 16", "fp32 16", "int8 16"]


@pytest.mark.parametrize("at", range(4))
def test_a_run_that_was_killed_ends_as_one_that_was_not(
    tmp_path: Path, measured: list[str], monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    one = recipe(tmp_path, *QUICK, budget={"max_drop": 100.0})
    whole = optimize(one, tmp_path / "whole")
    left, real = [at], running.measure_speed

    def cut(*arguments: Any) -> Any:  # noqa: ANN401
        if not left[0]:
            raise Cut
        left[0] -= 1
        return real(*arguments)

    monkeypatch.setattr(running, "measure_speed", cut)
    with pytest.raises(Cut):
        optimize(one, tmp_path / "run")
    monkeypatch.setattr(running, "measure_speed", real)
    again = optimize(one, tmp_path / "run")
    assert [asdict(mine) | {"bundle": None} for mine in again.candidates] == [
        asdict(theirs) | {"bundle": None} for theirs in whole.candidates
    ]
    for name in Store(tmp_path / "whole" / "store").names():
        models = [Store(tmp_path / run / "store").open(name).read_model() for run in ("whole", "run")]
        assert models[0] == models[1]


def test_a_step_that_can_not_be_ends_its_candidate_alone_and_is_not_tried_again(
    tmp_path: Path, measured: list[str]
) -> None:
    wrong = {"name": "wrong", "steps": [{**INT8, "float_layers": ["nowhere"]}]}
    one = recipe(tmp_path, wrong, {"name": "int8", "steps": [INT8]})
    for _ in range(2):
        result = optimize(one, tmp_path / "run")
        assert result.candidate("wrong").state == "failed"
        assert "nowhere" in result.candidate("wrong").reason
        assert result.candidate("int8").state == "made"
    assert "nowhere" in (tmp_path / "run" / "report.html").read_text()
    assert "ended wrong" in (tmp_path / "run" / "state.json").read_text()


def test_what_may_go_better_the_next_time_is_tried_again(
    tmp_path: Path, measured: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise BundleError("the disk is full")

    one = recipe(tmp_path, *QUICK)
    with monkeypatch.context() as patch:
        patch.setattr("optimize.candidates.graph_step.Store.write", full)
        bench = opened(one, tmp_path / "run")
        assert [each.state for each in Run(bench).result().candidates] == ["made", "failed", "failed", "failed"]
    assert [each.state for each in optimize(one, tmp_path / "run").candidates] == ["made"] * 4


def test_a_disk_that_fills_while_calibrating_ends_the_run_in_a_sentence(
    tmp_path: Path, measured: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("optimize.passes.integer_walk.Codes", full)
    with pytest.raises(RunError, match="quantize_int8 can't go on: the disk is full"):
        optimize(recipe(tmp_path), tmp_path / "run")


def test_a_graph_that_the_runtime_does_not_take_is_a_candidates_end(
    tmp_path: Path, measured: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = graph_step.load_pass

    def broken(name: str) -> Any:  # noqa: ANN401
        return replace(real(name), transform=lambda *_: unknown_operator())

    monkeypatch.setattr(graph_step, "load_pass", broken)
    result = optimize(recipe(tmp_path), tmp_path / "run")
    assert result.candidate("int8").state == "failed"
    assert "ONNX Runtime does not take the graph" in result.candidate("int8").reason


def unknown_operator() -> bytes:
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("NoSuchOperator", ["images"], ["logits"])],
        "graph",
        [onnx.helper.make_tensor_value_info("images", onnx.TensorProto.UINT8, ["batch", SIDE, SIDE, 1])],
        [onnx.helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, ["batch", 2])],
    )
    return bytes(onnx.helper.make_model(graph).SerializeToString())


def test_what_begins_with_a_hopeless_one_is_not_made_until_the_budget_allows_it(
    tmp_path: Path, measured: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "paired", lambda *_, **__: lost(80.0, 0.1))
    chains = ({"name": "sparse", "steps": [SPARSE]}, {"name": "sparse-int8", "steps": [SPARSE, INT8]},
              {"name": "taught", "steps": [SPARSE, {"name": "student", "architecture": "grey82"}]})  # fmt: skip
    result = optimize(recipe(tmp_path, *chains), tmp_path / "run")
    assert [one.state for one in result.candidates] == ["made", "made", "dropped", "failed"]
    assert "begins as sparse does, which loses 80.0 points" in result.candidate("sparse-int8").reason
    assert "grey82" in result.candidate("taught").reason, "training might have saved it"
    assert (result.best, result.closest is not None) == (None, True)
    again = optimize(recipe(tmp_path, *chains, budget={"max_drop": 90.0}), tmp_path / "run")
    assert again.candidate("sparse-int8").state == "made"


def test_another_model_under_the_parents_name_is_not_gone_on_with(tmp_path: Path, measured: list[str]) -> None:
    one = recipe(tmp_path)
    optimize(one, tmp_path / "run")
    path = tmp_path / "store" / "stripes" / "1"
    shutil.rmtree(path)
    shutil.copytree(tmp_path / "run" / "store" / "stripes-int8" / "1", path)
    manifest = json.loads((path / "manifest.json").read_text())
    (path / "manifest.json").write_text(json.dumps({**manifest, "name": "stripes"}))
    with pytest.raises(RunError, match="begun with another model"):
        optimize(one, tmp_path / "run")


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([INT8, SMALLER], "resize needs the float network, and after quantize_int8 there is none"),
        ([SPARSE, TRAINED], "finetune needs the float network, and after sparsify there is none"),
    ],
)
def test_steps_in_an_order_that_can_not_be_are_refused_before_anything_is_made(
    tmp_path: Path, steps: list[dict[str, Any]], message: str
) -> None:
    with pytest.raises(RecipeError, match=message):
        opened(recipe(tmp_path, {"name": "a", "steps": steps}), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("finetune", "message"),
    [
        ({"optimizer": "adamw"}, "did you mean 'optimiser'"),
        ({"train": 3}, "finetune.train is a table of settings, not 3"),
        ({"teacher": "x"}, "finetune.teacher is a table"),
    ],
)
def test_a_wrong_finetune_is_refused_before_anything_is_made(
    tmp_path: Path, finetune: dict[str, Any], message: str
) -> None:
    one = recipe(tmp_path, {"name": "a", "steps": [SMALLER, TRAINED]}, finetune=finetune)
    with pytest.raises(RecipeError, match=message):
        opened(one, tmp_path / "run")


def test_time_that_ends_leaves_the_rest_for_the_next_time(tmp_path: Path, measured: list[str]) -> None:
    one = recipe(tmp_path, *QUICK)
    moments = iter([True, False])
    result = optimize(one, tmp_path / "run", has_time=lambda: next(moments, False))
    assert [each.state for each in result.candidates] == ["made", "made", "waiting", "waiting"]
    assert [each.state for each in optimize(one, tmp_path / "run").candidates] == ["made"] * 4


def test_a_pruned_candidate_and_its_recovery(tmp_path: Path, measured: list[str]) -> None:
    """By half the multiply-adds, more or less: the last ones are of few channels."""
    cut = {"name": "prune", "macs": 0.5, "criterion": "taylor", "round_to": 4}
    result = optimize(recipe(tmp_path, {"name": "half", "steps": [cut, TRAINED]}), tmp_path / "run")
    one = result.candidate("half")
    assert one.state == "made", one.reason
    assert 0.35 < one.macs / result.candidate(PARENT).macs < 0.65
    bundle = Store(tmp_path / "run" / "store").open("stripes-half")
    assert bundle.spec.architecture is not None
    assert bundle.spec.architecture.name == "pruned:grey28_small"


def test_pictures_are_for_one_thing_each(tmp_path: Path) -> None:
    bench = opened(recipe(tmp_path), tmp_path / "run")
    sets = [bench.data.train, bench.data.val, bench.guard]
    names = [{one.identifier(index) for index in range(len(one))} for one in sets]
    assert sum(map(len, names)) == len(set.union(*names)) == 40
    shown = bench.calibration(bench.parent.spec.input)
    assert shown.shape == shown[:].shape == (6, SIDE, SIDE, 1)
    assert (shown[2:4] == shown[:][2:4]).all()
    assert {bench.shown.identifier(index) for index in range(6)} <= names[0]


def test_another_recipe_does_not_go_on_with_the_run_but_another_budget_does(
    tmp_path: Path, measured: list[str]
) -> None:
    optimize(recipe(tmp_path), tmp_path / "run")
    with pytest.raises(RunError, match="another recipe: calibration"):
        optimize(recipe(tmp_path, calibration=5), tmp_path / "run")
    assert optimize(recipe(tmp_path, budget={"max_drop": 50.0}), tmp_path / "run").budget == 50.0


def test_candidates_may_be_added_to_a_run_and_are_told_as_such(tmp_path: Path, measured: list[str]) -> None:
    first = optimize(recipe(tmp_path, *QUICK[:2]), tmp_path / "run")
    assert all(one.because == "" for one in first.candidates)
    taken = list(measured)
    again = optimize(recipe(tmp_path, *QUICK), tmp_path / "run")
    assert measured == [*taken, "int8 16"]
    assert again.candidates[:3] == tuple(
        replace(one, is_on_front=now.is_on_front, verdict=now.verdict)
        for one, now in zip(first.candidates, again.candidates, strict=False)
    )
    assert [one.because for one in again.candidates] == ["", "", "", ADDED]
    assert ADDED in (tmp_path / "run" / "report.html").read_text().replace("&#39;", "'")


def test_candidates_of_a_run_are_not_changed_nor_taken_away(tmp_path: Path, measured: list[str]) -> None:
    optimize(recipe(tmp_path, *QUICK[:2]), tmp_path / "run")
    other = {"name": "sparse", "steps": [SPARSE | {"share": 0.25}]}
    for candidates in (QUICK[:1], (QUICK[0], other), (QUICK[1], QUICK[0])):
        with pytest.raises(RunError, match="another recipe: candidate"):
            optimize(recipe(tmp_path, *candidates), tmp_path / "run")


def test_what_waited_for_time_was_not_added(tmp_path: Path, measured: list[str]) -> None:
    one = recipe(tmp_path, *QUICK)
    left = iter([True] + [False] * 9)
    cut = optimize(one, tmp_path / "run", has_time=lambda: next(left))
    assert [one.state for one in cut.candidates] == ["made", "made", "waiting", "waiting"]
    assert all(one.because == "" for one in optimize(one, tmp_path / "run").candidates)


def test_classes_of_another_kind_are_refused_and_leave_no_folder(tmp_path: Path) -> None:
    one = recipe(tmp_path)
    (tmp_path / "pictures" / "class0").rename(tmp_path / "pictures" / "zebra")
    with pytest.raises(DataError, match=r"classes of stripes.*zebra.*--unlabelled"):
        opened(one, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_pictures_of_some_of_the_classes_name_the_way_without_labels(tmp_path: Path) -> None:
    one = recipe(tmp_path)
    shutil.rmtree(tmp_path / "pictures" / "class0")
    with pytest.raises(DataError, match=r"no pictures to train on in 'class0'.*--unlabelled.*what stripes itself says"):
        opened(one, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_without_labels_agreement_with_the_parent_is_guarded(tmp_path: Path, measured: list[str]) -> None:
    one = recipe(tmp_path, labelled=False)
    (tmp_path / "pictures" / "class0").rename(tmp_path / "pictures" / "zebra")
    result = optimize(one, tmp_path / "run")
    assert result.candidate(PARENT).right == 1.0
    val = result.candidate("int8").val
    assert val is not None
    assert val.top1 == val.same_answer
    assert sum(result.pictures.values()) == 40
    assert "as the parent says" in (tmp_path / "run" / "report.html").read_text()
    metrics = {each.metric for each in Store(tmp_path / "run" / "store").open("stripes-int8").manifest.accuracy}
    assert metrics <= {"top1_agreement", "top1_agreement_where_sure"}
    assert "top1_agreement" in metrics


def test_pictures_of_which_hardly_two_are_answered_alike_are_cut_by_chance(tmp_path: Path) -> None:
    one = recipe(tmp_path, labelled=False)
    bench = opened(one, tmp_path / "run")
    assert [len(part) for part in (bench.data.train, bench.data.val, bench.guard)] == [20, 10, 10]


def test_three_pictures_are_too_few(tmp_path: Path) -> None:
    one = recipe(tmp_path, labelled=False)
    for place, path in enumerate(sorted((tmp_path / "pictures").rglob("*.png"))):
        if place >= 3:
            path.unlink()
    with pytest.raises(DataError, match="3 pictures are too few"):
        opened(one, tmp_path / "run")
