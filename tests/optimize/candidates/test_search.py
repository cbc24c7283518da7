"""A search proposes candidates, learns from those that were measured, and goes on after a kill where it was."""

import json
from pathlib import Path
from typing import Any

import pytest

from model_zoo.bundle import read_bundle
from optimize.candidates import proposals as proposing
from optimize.candidates import run as running
from optimize.candidates.hopeless import asks_more
from optimize.candidates.journal import Journal
from optimize.candidates.order import require_makeable
from optimize.candidates.plan import plan, search_space
from optimize.candidates.proposals import Proposals
from optimize.candidates.proposed_steps import contents, steps_of, values_of
from optimize.candidates.recipe import PARENT, CandidateEntry, parse_optimize_recipe
from optimize.candidates.result import Candidate
from optimize.candidates.run import Run
from optimize.errors import RecipeError
from optimize.search.options import Span
from optimize.search.study import PerTrial
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


def of_another_mind(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on the sampler says something else."""
    monkeypatch.setattr(proposing, "PerTrial", lambda options, seed: PerTrial(options, seed + 1))


@pytest.mark.parametrize(("at", "is_of_another_mind"), [(1, False), (4, True), (6, False)])
def test_a_search_that_was_killed_proposes_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int, is_of_another_mind: bool
) -> None:
    """What was proposed before the kill is read, not asked for again."""
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
    if is_of_another_mind:
        of_another_mind(monkeypatch)
    again = [each.steps for each in optimize(one, tmp_path / "run").candidates]
    assert again[: at + 1] == whole[: at + 1]
    assert (again == whole) is not is_of_another_mind


def test_more_may_be_asked_for_later_and_nothing_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = recipe(tmp_path, *NAMED, search={**SEARCH, "candidates": 2})
    first = optimize(few, tmp_path / "run")
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "run" / "steps").iterdir()}
    of_another_mind(monkeypatch)
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
    """Of two times two chains one is named."""
    small = {"candidates": 9, "space": {"sparsify.share": [0.3, 0.5], "quantize_int8": [True, False]}}
    result = optimize(recipe(tmp_path, *NAMED, search=small), tmp_path / "run")
    assert len(result.candidates) == 3 + 3


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


def test_a_stepped_range_gives_numbers_as_they_are_written_and_none_twice(tmp_path: Path) -> None:
    """Added up in binary, 0.2 + 3 · 0.05 is another number than 0.35."""
    (tmp_path / "state.json").write_text("{}")
    proposals = Proposals(space({"prune.macs": {"low": 0.2, "high": 0.9, "step": 0.05}}), Journal(tmp_path), 1)
    proposals.learn(entry({"name": "prune", "macs": 0.35}).steps, figures(2.0, 1.0))
    found = []
    while one := proposals.next():
        found.append(one.steps[0].choice.macs)
        proposals.learn(one.steps, figures(1 / found[-1], 1 - found[-1]))
    assert sorted([*found, 0.35]) == [share / 100 for share in range(20, 95, 5)]


def test_passes_come_in_the_order_in_which_the_space_names_them(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text("{}")
    late = {"sparsify.share": {"choices": [0.3], "when": {"quantize_int8": True}}, "quantize_int8": [True]}
    one = Proposals(space(late), Journal(tmp_path), 1).next()
    assert one is not None
    assert [step.name for step in one.steps] == ["sparsify", "quantize_int8"]


@pytest.mark.parametrize("macs", [0.42, 0.199, 0.91])
def test_what_lies_between_the_steps_of_a_range_is_not_in_the_space(macs: float) -> None:
    stepped = space({"prune.macs": {"low": 0.2, "high": 0.9, "step": 0.05}})
    assert values_of(entry({"name": "prune", "macs": macs}).steps, stepped) is None


def test_ranges_of_whole_numbers_have_their_steps_alone() -> None:
    eights = space({"prune.round_to": {"low": 8, "high": 32, "step": 8}, "prune.macs": [0.5]})
    for width, is_in in ((8, True), (12, False), (32, True), (40, False)):
        found = values_of(entry({"name": "prune", "round_to": width}).steps, eights)
        assert found == ({"prune.round_to": width, "prune.macs": 0.5} if is_in else None)


def test_a_chain_that_takes_a_step_twice_is_not_in_the_space() -> None:
    searched = space({"prune.macs": [0.5, 0.7], "finetune.epochs": [3]})
    again = [{"name": "prune", "macs": 0.5}, {"name": "finetune", "epochs": 3}]
    assert values_of(entry(*again).steps, searched) == {"prune.macs": 0.5, "finetune.epochs": 3}
    assert values_of(entry({"name": "prune", "macs": 0.7}, again[1], *again).steps, searched) is None


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
        ({"space": {"sparsify.share": [0.5, 7.0]}}, r"sparsify.share = 7.0: Input should be less than"),
        ({"space": {"sparsify.share": {"low": -0.5, "high": 0.5}}}, r"sparsify.share = -0.5: Input should be"),
        ({"space": {"prune.criterion": ["l3"]}}, "prune.criterion = 'l3': no criterion is named 'l3'"),
        ({"space": {"prune": [0.5]}}, "true or false; settings are prune.SETTING"),
        ({"space": {"prune": {"low": 0, "high": 1}}}, "true or false"),
    ],
)
def test_a_space_that_can_not_be_is_a_fault_of_the_recipe(tmp_path: Path, search: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        parse_optimize_recipe(content(tmp_path, search=search))


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"prune.macs": [0.5], "prune.latency": [0.5]}, "none can be made: .*macs or latency, one of them"),
        ({"finetune.epochs": [1, 2]}, "none can be made: no step is left"),
        ({"quantize_int8": [False]}, "none can be made: no step is left"),
        ({"sparsify": [True, False], "resize": [True]}, "none can be made: .*height"),
    ],
)
def test_a_space_of_which_nothing_can_be_made_is_refused_before_anything_is(
    tmp_path: Path, space: dict[str, Any], message: str
) -> None:
    with pytest.raises(RecipeError, match=message):
        opened(recipe(tmp_path, search={"candidates": 1, "space": space}), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_what_can_not_be_proposed_is_said_and_the_rest_is_made(tmp_path: Path) -> None:
    either = {"prune": [True, False], "prune.macs": [0.5], "prune.latency": [0.5], "quantize_int8": [True]}
    lines: list[str] = []
    one = recipe(tmp_path, search={"candidates": 3, "space": either}, candidate=[{"name": "sparse", "steps": [SPARSE]}])
    found = Run(opened(one, tmp_path / "run", say=lines.append)).result().candidates
    assert [step["name"] for step in found[-1].steps] == ["quantize_int8"]
    assert found[-1].state == "made"
    assert sum("macs or latency, one of them" in line for line in lines) == 1


@pytest.mark.parametrize(
    ("space", "is_refused"),
    [
        ({"prune.macs": [0.5]}, True),
        ({"resize": [True, False], "resize.height": [12], "quantize_int8": [True]}, True),
        ({"qat.epochs": [2], "quantize_int8": [True]}, True),
        ({"student.architecture": ["grey28_small"], "qat.epochs": [2]}, False),
        ({"fold": [True], "cluster_weights": [True, False]}, False),
    ],
)
def test_of_a_graph_alone_no_search_asks_for_the_network(
    tmp_path: Path, space: dict[str, Any], is_refused: bool
) -> None:
    one = recipe(tmp_path, {"name": "half", "steps": [{"name": "float16"}]}, search={"candidates": 1, "space": space})
    stranger = _stranger(tmp_path)
    if not is_refused:
        require_makeable(one, stranger)
        return
    with pytest.raises(RecipeError, match=r"search.space: .* needs the float network, and the parent is"):
        require_makeable(one, stranger)


def test_a_searched_finetune_has_a_recipe_that_is_one(tmp_path: Path) -> None:
    space = {"prune.macs": [0.5], "finetune.epochs": [1]}
    one = recipe(tmp_path, search={"candidates": 1, "space": space}, finetune={"optimizer": "adamw"})
    with pytest.raises(RecipeError, match=r"search.space: finetune.*did you mean 'optimiser'"):
        opened(one, tmp_path / "run")


def test_names_of_proposals_are_the_searchs(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="what a search calls its own"):
        recipe(tmp_path, {"name": "search-1", "steps": [INT8]})


def test_only_steps_of_the_parent_can_be_searched(tmp_path: Path) -> None:
    """A network that is its graph alone has no channels to prune."""
    stranger = _stranger(tmp_path)
    names = {path.partition(".")[0] for path in search_space(stranger, ())}
    assert names == {"fold", "cluster_weights", "quantize_int8"}


def test_codebooks_and_int8_are_not_proposed_together(tmp_path: Path) -> None:
    """No pass looks into codebooks: such a chain fails whenever it is made."""
    found = search_space(_stranger(tmp_path), ())
    assert found["cluster_weights"].when == {"quantize_int8": False}
    together = entry({"name": "fold"}, {"name": "cluster_weights"}, INT8)
    apart = entry({"name": "fold"}, {"name": "cluster_weights"})
    assert values_of(together.steps, found) is None
    assert values_of(apart.steps, found) is not None


def _stranger(tmp_path: Path) -> Any:  # noqa: ANN401
    bundle = read_bundle(Path(content(tmp_path)["model"]))

    class Stranger:
        spec, weights_path, folder = bundle.spec, None, bundle.folder

    return Stranger()
