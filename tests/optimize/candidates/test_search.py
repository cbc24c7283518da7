"""A search proposes candidates, learns from those that were measured, and goes on after a kill where it was."""

import json
from pathlib import Path
from typing import Any

import pytest

from model_zoo.bundle import read_bundle
from optimize.candidates import run as running
from optimize.candidates.journal import Journal
from optimize.candidates.plan import plan, search_space
from optimize.candidates.proposals import Proposals
from optimize.candidates.proposed_steps import asks_more, contents, steps_of, values_of
from optimize.candidates.recipe import PARENT, CandidateEntry, parse_optimize_recipe
from optimize.candidates.result import Candidate
from optimize.candidates.run import Run
from optimize.errors import RecipeError
from optimize.search.options import Span
from tests.optimize.candidates.small import INT8, content, lost, recipe, speed
from tests.optimize.candidates.test_run import Cut, opened, optimize

SPARSE = {"name": "sparsify", "share": 0.5}
SPACE = {
    "sparsify": [True, False],
    "sparsify.share": {"low": 0.1, "high": 0.9, "step": 0.1, "when": {"sparsify": True}},
    "quantize_int8": [True, False],
    "quantize_int8.range_method": {"choices": ["percentile", "min_max"], "when": {"quantize_int8": True}},
}
SEARCH = {"candidates": 5, "space": SPACE}
NAMED = ({"name": "int8", "steps": [INT8]}, {"name": "sparse-int8", "steps": [SPARSE, INT8]})


@pytest.fixture(autouse=True)
def _untimed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing takes time, and what is in INT8 is four times as fast."""
    monkeypatch.setattr(
        running, "measure_speed", lambda one, *_: speed(4.0 if one.bundle.spec.precision == "int8" else 1.0)
    )


def entry(*steps: dict[str, Any], name: str = "a") -> CandidateEntry:
    return CandidateEntry.model_validate({"name": name, "steps": steps})


def space(said: dict[str, Any]) -> dict[str, Span]:
    tables = {path: {"choices": one} if isinstance(one, list) else one for path, one in said.items()}
    return {path: Span.model_validate(one) for path, one in tables.items()}


def test_what_is_proposed_is_made_measured_and_judged_like_the_others(tmp_path: Path) -> None:
    result = optimize(recipe(tmp_path, *NAMED, search=SEARCH, budget={"max_drop": 100.0}), tmp_path / "run")
    names = [one.name for one in result.candidates]
    assert names == [PARENT, "int8", "sparse-int8", *(f"search-{place}" for place in range(1, 6))]
    assert all(one.state == "made" and one.speed and one.val for one in result.candidates)
    chains = [json.dumps(one.steps, sort_keys=True) for one in result.candidates]
    assert len(set(chains)) == len(chains), "nothing is proposed that is there already"
    assert all(name in (tmp_path / "run" / "report.html").read_text() for name in names)


@pytest.mark.parametrize("at", [1, 4, 6])
def test_a_search_that_was_killed_proposes_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    one = recipe(tmp_path, *NAMED, search=SEARCH)
    whole = [each.steps for each in optimize(one, tmp_path / "whole").candidates]
    left, real = [at], running.measure_speed

    def cut(*arguments: Any) -> Any:  # noqa: ANN401
        if not left[0]:
            raise Cut
        left[0] -= 1
        return real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(running, "measure_speed", cut)
        with pytest.raises(Cut):
            optimize(one, tmp_path / "run")
    assert [each.steps for each in optimize(one, tmp_path / "run").candidates] == whole


def test_more_may_be_asked_for_later_and_nothing_is_made_again(tmp_path: Path) -> None:
    few = recipe(tmp_path, *NAMED, search={**SEARCH, "candidates": 2})
    first = optimize(few, tmp_path / "run")
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "run" / "steps").iterdir()}
    second = optimize(recipe(tmp_path, *NAMED, search=SEARCH), tmp_path / "run")
    assert [one.steps for one in second.candidates[:5]] == [one.steps for one in first.candidates]
    assert len(second.candidates) == 8
    after = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "run" / "steps").iterdir()}
    assert {name: after[name] for name in before} == before


def test_time_that_ends_ends_the_search(tmp_path: Path) -> None:
    one = recipe(tmp_path, *NAMED, search=SEARCH)
    moments = iter([True] * 4)
    result = optimize(one, tmp_path / "run", has_time=lambda: next(moments, False))
    assert [each.state for each in result.candidates].count("waiting") == 1
    assert result.candidates[-1].state == "waiting"
    assert len(optimize(one, tmp_path / "run").candidates) == 8


def test_a_space_that_has_been_seen_ends_the_search(tmp_path: Path) -> None:
    small = {"candidates": 9, "space": {"sparsify.share": [0.3, 0.5], "quantize_int8": [True, False]}}
    result = optimize(recipe(tmp_path, *NAMED, search=small), tmp_path / "run")
    assert 4 <= len(result.candidates) <= 3 + 4


def test_less_of_what_has_lost_too_much_is_not_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "paired", lambda *_, **__: lost(80.0, 0.1))
    pruned = {"name": "prune", "macs": 0.9, "round_to": 4}
    small = {"candidates": 1, "space": {"prune.macs": [0.5], "prune.round_to": [4]}}
    result = optimize(recipe(tmp_path, {"name": "macs90", "steps": [pruned]}, search=small), tmp_path / "run")
    assert result.candidates[-1].state == "dropped"
    assert "macs90 with less of the network kept, which loses 80.0 points" in result.candidates[-1].reason


def test_asking_for_more_is_the_same_steps_with_less_kept() -> None:
    half, third = {"name": "prune", "macs": 0.5}, {"name": "prune", "macs": 0.3}
    assert asks_more(entry(third).steps, entry(half).steps)
    assert not asks_more(entry(half).steps, entry(third).steps)
    assert not asks_more(entry(half).steps, entry(half).steps)
    assert not asks_more(entry(third, INT8).steps, entry(half).steps)
    assert not asks_more(entry({**third, "criterion": "l1"}).steps, entry(half).steps)


def test_steps_come_in_an_order_that_can_be_and_only_what_is_hurt_is_mended() -> None:
    values = {"quantize_int8": True, "finetune.epochs": 2, "prune": True, "prune.macs": 0.5, "resize.height": 12}
    assert [step["name"] for step in steps_of(values)] == ["resize", "prune", "finetune", "quantize_int8"]
    assert [step["name"] for step in steps_of({"finetune.epochs": 2, "prune": False, "quantize_int8": True})] == [
        "quantize_int8"
    ]
    assert steps_of({"finetune.epochs": 2, "prune": False}) == []


def test_the_plan_lies_in_the_space_that_is_searched_after_it(tmp_path: Path) -> None:
    parent = read_bundle(Path(content(tmp_path)["model"]))
    planned = [CandidateEntry.model_validate(one) for one in plan(parent, 2)]
    searched = search_space(parent, planned)
    for one in planned:
        values = values_of(one.steps, searched)
        if one.name in ("half", "clustered"):
            assert values is None
            continue
        assert values is not None, one.name
        made = CandidateEntry.model_validate({"name": "again", "steps": steps_of(values)})
        assert contents(made.steps) == contents(one.steps)


def figures(faster: float, drop: float) -> Candidate:
    return Candidate(name="a", steps=(), state="made", speed=speed(faster), val=lost(drop))


def test_the_search_goes_where_it_is_good(tmp_path: Path) -> None:
    """Of one setting that trades nothing, most proposals come to lie where both figures are best."""
    (tmp_path / "state.json").write_text("{}")
    proposals = Proposals(space({"sparsify.share": {"low": 0.0, "high": 0.999}}), Journal(tmp_path), 3)
    shares = []
    for _ in range(30):
        one = proposals.next()
        assert one is not None
        shares.append(one.steps[0].choice.share)
        off = abs(shares[-1] - 0.7)
        proposals.learn(one.steps, figures(1 / (1 + off), 100 * off))
    late = shares[15:]
    assert sum(abs(share - 0.7) < 0.15 for share in late) > len(late) / 2


@pytest.mark.parametrize(
    ("search", "message"),
    [
        ({"space": {"prunes.macs": [0.5]}}, "did you mean 'prune'"),
        ({"space": {"prune.mac": [0.5]}}, "prune has no setting 'mac'; did you mean 'macs'"),
        ({"space": {"prune.macs": {"low": 0.5, "when": {"prune": True}}}}, "needs low and high"),
        ({"space": {"prune.macs": {"choices": [0.5], "when": {"prune": True}}}}, "'prune', which is not in the space"),
        ({"candidates": -1}, "greater than or equal to 0"),
        ({"space": {}}, "at least 1"),
    ],
)
def test_a_space_that_can_not_be_is_a_fault_of_the_recipe(tmp_path: Path, search: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        parse_optimize_recipe(content(tmp_path, search=search))


def test_a_value_that_no_step_takes_is_named(tmp_path: Path) -> None:
    wrong = {"candidates": 1, "space": {"sparsify.share": [7.0]}}
    with pytest.raises(RecipeError, match=r"search.space makes a candidate that can't be: .*share"):
        Run(opened(recipe(tmp_path, *NAMED, search=wrong), tmp_path / "run")).result()


def test_names_of_proposals_are_the_searchs(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="what a search calls its own"):
        recipe(tmp_path, {"name": "search-1", "steps": [INT8]})


def test_only_steps_of_the_parent_can_be_searched(tmp_path: Path) -> None:
    """A network that is its graph alone has no channels to prune."""
    stranger = _stranger(tmp_path)
    names = {path.partition(".")[0] for path in search_space(stranger, ())}
    assert names == {"fold", "cluster_weights", "quantize_int8"}


def _stranger(tmp_path: Path) -> Any:  # noqa: ANN401
    bundle = read_bundle(Path(content(tmp_path)["model"]))

    class Stranger:
        spec, weights_path = bundle.spec, None

    return Stranger()
