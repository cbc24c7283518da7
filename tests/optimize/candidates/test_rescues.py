"""What is tried for INT8 candidates that lose too much: when, in which order, and the same after a kill."""

import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from model_zoo.store import Store
from optimize.candidates import rescues as rescuing
from optimize.candidates import run as running
from optimize.candidates.journal import Journal
from optimize.candidates.opening import open_bench, open_parent
from optimize.candidates.plan import EPOCHS
from optimize.candidates.recipe import PARENT, CandidateEntry, OptimizeRecipe, parse_optimize_recipe
from optimize.candidates.report import render
from optimize.candidates.rescues import Rescue, Rescues
from optimize.candidates.result import Candidate, Result, State
from optimize.candidates.run import Run
from optimize.commands import optimize_flags as command
from optimize.errors import RecipeError
from optimize.passes import PASSES
from optimize.training import trainer
from tests.optimize.candidates.small import INT8, lost, recipe, speed
from tests.optimize.candidates.test_run import Cut

SPARSE = {"name": "sparsify", "share": 0.01}
SMALLER = {"name": "resize", "height": 12}
ALONE = {"name": "int8", "steps": [INT8]}
RANGES = ["int8-least_squares", "int8-min_max"]


def said(*candidates: dict[str, Any], **tables: Any) -> OptimizeRecipe:  # noqa: ANN401
    return parse_optimize_recipe(
        {"name": "a", "model": "b", "data": {"train": "c"}, "candidate": list(candidates), "rescue": True, **tables}
    )


class FakeMade:
    """Every chain is there; what a pass has rewritten has no float network."""

    def __init__(self, one: OptimizeRecipe) -> None:
        self.entries = {entry.name: entry for entry in one.candidate}
        self.asked: list[list[str]] = []

    def add(self, entry: CandidateEntry) -> None:
        self.entries[entry.name] = entry

    def steps(self, name: str) -> Any:  # noqa: ANN401
        return () if name == PARENT else self.entries[name].steps

    def after(self, steps: Any) -> Any:  # noqa: ANN401
        is_float = not any(step.name in PASSES for step in steps)
        return SimpleNamespace(weights_path=Path() if is_float else None, spec=SimpleNamespace(architecture="any"))

    def answers(self, name: str, split: str) -> str:
        assert (name, split) == (PARENT, "val"), "the guard's pictures are not looked at"
        return PARENT

    def answers_after(self, steps: Any, split: str) -> str:  # noqa: ANN401
        assert split == "val"
        self.asked.append([step.name for step in steps])
        return "in float"


@pytest.fixture
def tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Rescue]]:
    """All that is tried, where candidates lose so many points by name (others none), and float chains ``in_float``."""
    (tmp_path / "state.json").write_text("{}")

    def ask(
        one: OptimizeRecipe, points: dict[str, float], in_float: float = 0.0, states: dict[str, State] | None = None
    ) -> list[Rescue]:
        def candidate(name: str) -> Candidate:
            return Candidate(
                name=name, steps=(), state=(states or {}).get(name, "made"), val=lost(points.get(name, 0.0))
            )

        monkeypatch.setattr(rescuing, "paired", lambda *_, **__: lost(in_float))
        made: Any = FakeMade(one)
        bench: Any = SimpleNamespace(recipe=one)
        rescues = Rescues(bench, made, Journal(tmp_path))
        there, found = [candidate(name) for name in (PARENT, *made.entries)], []
        for entry in one.candidate:
            while (rescue := rescues.next(entry, there)) is not None:
                made.add(rescue.entry)
                there.append(candidate(rescue.entry.name))
                found.append(rescue)
        return found

    return ask


def names(found: list[Rescue]) -> list[str]:
    return [one.entry.name for one in found]


def steps(one: Rescue) -> list[str]:
    return [step.name for step in one.entry.steps]


def test_ranges_come_first_and_training_where_they_do_not_do(tried: Callable[..., list[Rescue]]) -> None:
    found = tried(said(ALONE), {"int8": 2.34, **dict.fromkeys(RANGES, 1.5)}, in_float=0.1)
    assert names(found) == [*RANGES, "int8-qat"]
    assert [one.entry.steps[0].choice.range_method for one in found[:2]] == ["least_squares", "min_max"]
    assert steps(found[2]) == ["qat", "quantize_int8"]
    assert found[2].entry.steps[0].choice.epochs == EPOCHS
    assert found[2].entry.steps[1] == said(ALONE).candidate[0].steps[0]
    assert [one.because for one in found] == [
        f"int8 loses 2.34 points, in float it loses 0.10 points: {done}"
        for done in ("other ranges, by least_squares", "other ranges, by min_max", "trained in INT8")
    ]


def test_the_first_that_keeps_the_budget_ends_it(tried: Callable[..., list[Rescue]]) -> None:
    assert names(tried(said(ALONE), {"int8": 2.0, RANGES[0]: 1.0})) == RANGES[:1]


@pytest.mark.parametrize(
    ("chain", "points", "in_float"),
    [
        ([INT8], 0.9, 0.0),
        ([SMALLER, INT8], 3.0, 1.1),
        ([SMALLER, {"name": "finetune"}], 3.0, 0.0),
        ([{"name": "qat"}, INT8], 3.0, 0.0),
        ([INT8, {"name": "fold"}], 3.0, 0.0),
    ],
    ids=["within the budget", "too much in float already", "not in INT8", "trained so already", "rewritten after"],
)
def test_nothing_is_tried_where_that_is_of_no_use(
    tried: Callable[..., list[Rescue]], chain: list[dict[str, Any]], points: float, in_float: float
) -> None:
    assert tried(said({"name": "a", "steps": chain}), {"a": points}, in_float) == []


@pytest.mark.parametrize("state", ["failed", "dropped", "waiting"])
def test_what_was_not_made_is_not_rescued(tried: Callable[..., list[Rescue]], state: State) -> None:
    assert tried(said(ALONE), {"int8": 9.0}, states={"int8": state}) == []


def test_what_fails_is_followed_by_the_next_and_what_waits_by_nothing(tried: Callable[..., list[Rescue]]) -> None:
    assert names(tried(said(ALONE), {"int8": 2.0}, states={RANGES[0]: "waiting"})) == RANGES[:1]
    lost_all = dict.fromkeys(["int8", *RANGES], 2.0)
    assert names(tried(said(ALONE), lost_all, states={RANGES[0]: "failed"})) == [*RANGES, "int8-qat"]


def test_a_strict_budget_is_the_intervals_bad_end(tried: Callable[..., list[Rescue]]) -> None:
    """0.5 points, and perhaps one more."""
    assert tried(said(ALONE), {"int8": 0.5}) == []
    strict = said(ALONE, budget={"strict": True})
    assert names(tried(strict, {"int8": 0.5, RANGES[0]: -0.5}, in_float=-0.5)) == RANGES[:1]


def test_after_a_pass_there_are_ranges_alone(tried: Callable[..., list[Rescue]]) -> None:
    chain = {"name": "sparse", "steps": [SPARSE, INT8]}
    found = tried(said(chain), dict.fromkeys(["sparse", "sparse-least_squares", "sparse-min_max"], 2.0))
    assert names(found) == ["sparse-least_squares", "sparse-min_max"]
    assert all(steps(one) == ["sparsify", "quantize_int8"] for one in found)


def test_what_the_recipe_names_itself_counts_and_is_not_made_twice(tried: Callable[..., list[Rescue]]) -> None:
    own = {"name": "mine", "steps": [{**INT8, "range_method": "least_squares"}]}
    every = dict.fromkeys(["int8", "mine", *RANGES, "int8-qat"], 2.0)
    assert names(tried(said(ALONE, own), every)) == ["int8-min_max", "int8-qat", "mine-qat"]


def test_what_the_recipe_names_itself_may_do(tried: Callable[..., list[Rescue]]) -> None:
    own = {"name": "mine", "steps": [{**INT8, "range_method": "least_squares"}]}
    assert tried(said(ALONE, own), {"int8": 2.0}) == []


def test_names_are_the_candidates_own(tried: Callable[..., list[Rescue]]) -> None:
    long, taken = "a" * 39, {"name": "int8-min_max", "steps": [SPARSE]}
    one = said(ALONE, taken, {"name": long, "steps": [SPARSE, INT8]})
    found = tried(one, {"int8": 2.0, RANGES[0]: 2.0, long: 2.0})
    assert names(found)[:2] == [RANGES[0], "int8-min_max-2"]
    assert re.fullmatch(r"a{18}-[0-9a-f]{6}-least_squares", names(found)[2])


def test_names_that_are_alike_but_for_their_end_stay_apart(tried: Callable[..., list[Rescue]]) -> None:
    ones = [f"mobilenet-large-outdoor-v{number}-int8" for number in (1, 2)]
    entries = [{"name": name, "steps": [{**SPARSE, "share": 0.1 * place}, INT8]} for place, name in enumerate(ones, 1)]
    found = names(tried(said(*entries), dict.fromkeys(ones, 2.0)))
    assert len(set(found)) == len(found) == 2


def test_training_is_as_long_as_the_recipes_recoveries(tried: Callable[..., list[Rescue]]) -> None:
    recovered = {"name": "px12", "steps": [SMALLER, {"name": "finetune", "epochs": 7}]}
    found = tried(said(ALONE, recovered), dict.fromkeys(["int8", *RANGES], 2.0))
    assert found[-1].entry.steps[0].choice.epochs == 7


def test_what_was_tried_under_another_budget_stays(tried: Callable[..., list[Rescue]]) -> None:
    first = tried(said(ALONE), {"int8": 2.0, RANGES[0]: 1.5})
    assert names(first) == RANGES
    assert tried(said(ALONE, budget={"max_drop": 5.0}), {"int8": 2.0, RANGES[0]: 1.5}) == first


@pytest.fixture
def losing(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """In whole runs: what candidates lose, by name; nothing takes time."""
    points: dict[str, float] = {}
    monkeypatch.setattr(running, "measure_speed", lambda *_: speed(4.0))
    monkeypatch.setattr(Run, "_paired", lambda _, name, __: lost(points.get(name, 0.0)))
    return points


def optimize(one: OptimizeRecipe, folder: Path, **more: Any) -> Result:  # noqa: ANN401
    """Training fails at once, for good."""

    def untrained(*_: object, **__: object) -> Any:  # noqa: ANN401
        raise RecipeError("nothing trains in this test")

    parent = open_parent(one.model, Store(folder.parent / "store"), folder)
    return Run(open_bench(one, folder, parent, untrained, lambda _: None), **more).result()


def test_a_run_that_was_killed_or_had_no_time_tries_the_same_and_says_why(
    tmp_path: Path, losing: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    losing.update(dict.fromkeys(["int8", *RANGES], 2.0))
    one = recipe(tmp_path, ALONE, rescue=True)
    whole = optimize(one, tmp_path / "whole")
    assert [each.name for each in whole.candidates[2:]] == [*RANGES, "int8-qat"]
    assert whole.candidates[-1].reason == "nothing trains in this test"
    assert render(whole, None, "", "", ()).count("int8 loses 2.00 points, in float it loses nothing") == 3
    moments = iter([True])
    first = optimize(one, tmp_path / "run", has_time=lambda: next(moments, False))
    assert [each.state for each in first.candidates] == ["made", "made", "waiting"]

    def cut(*_: object) -> None:
        raise Cut

    with monkeypatch.context() as patch:
        patch.setattr(running, "measure_speed", cut)
        with pytest.raises(Cut):
            optimize(one, tmp_path / "run")
    again = optimize(one, tmp_path / "run")
    facts = [[(each.name, each.steps, each.state, each.because) for each in run.candidates] for run in (again, whole)]
    assert facts[0] == facts[1]
    turned_off = optimize(one.model_copy(update={"rescue": False}), tmp_path / "run")
    assert [each.name for each in turned_off.candidates] == [PARENT, "int8"]


def test_what_a_search_proposes_does_not_hang_on_rescues(tmp_path: Path, losing: dict[str, float]) -> None:
    search = {"candidates": 1, "space": {"sparsify.share": [0.1, 0.2, 0.3]}}
    losing["int8"] = 2.0
    found = []
    for rescue in (False, True):
        run = optimize(recipe(tmp_path, ALONE, rescue=rescue, search=search), tmp_path / str(rescue))
        found.append([one.steps for one in run.candidates if one.name.startswith("search")])
    assert found[0] == found[1]


def test_a_finetune_with_which_no_network_is_rounded_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    one = recipe(tmp_path, ALONE, rescue=True, finetune={"train": {"compile": True}})
    parent = open_parent(one.model, Store(tmp_path), tmp_path)
    with pytest.raises(RecipeError, match=r"rescue: .*set compile to false"):
        open_bench(one, tmp_path / "run", parent, trainer.train, print)
    assert not (tmp_path / "run").exists()


def test_the_plan_without_a_recipe_asks_for_it(tmp_path: Path) -> None:
    one = recipe(tmp_path)
    flags = command.make_parser().parse_args([one.model, "--data", str(tmp_path / "pictures")])
    planned = command.planned(flags, one.model, open_parent(one.model, Store(tmp_path), tmp_path))
    assert planned["rescue"] is True
