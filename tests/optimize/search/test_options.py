"""What ``[search]`` may say."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from optimize.errors import RecipeError
from optimize.search import PRUNERS, SAMPLERS
from optimize.search.options import SearchOptions, Span
from optimize.search.stored_values import from_stored, to_stored

SPACE = {"optimiser.lr": {"low": 0.001, "high": 0.1}}


def test_the_short_and_the_long_way_say_the_same() -> None:
    short = SearchOptions.model_validate({"space": {"train.batch_size": [32, 64]}, "sampler": "gp", "pruner": "median"})
    long = SearchOptions.model_validate(
        {
            "space": {"train.batch_size": {"choices": [32, 64]}},
            "sampler": {"name": "gp"},
            "pruner": {"name": "median"},
        }
    )
    assert short == long
    assert SearchOptions.model_validate(long.model_dump(mode="json", exclude_none=True)) == long


@pytest.mark.parametrize(
    ("search", "says"),
    [
        ({"space": {}}, "at least 1"),
        ({"space": {"a": []}}, "at least 1"),
        ({"space": {"a": {"low": 1}}}, "low and high, or choices"),
        ({"space": {"a": {"low": 2, "high": 1}}}, "above high"),
        ({"space": {"a": {"low": 0, "high": 1, "log": True}}}, "above 0"),
        ({"space": {"a": {"low": 0.1, "high": 1, "log": True, "step": 0.1}}}, "not with log"),
        ({"space": {"a": {"low": 1, "high": 9, "step": 0.5}}}, "whole numbers"),
        ({"space": {"a": {"choices": [1], "low": 1}}}, "stand alone"),
        ({"space": {"a": {"low": 1, "high": 2, "when": {"b": 1}}}}, "not in the space"),
        (
            {"space": {"a": {"choices": [1], "when": {"b": 1}}, "b": {"choices": [1], "when": {"a": 1}}}},
            "wait for each",
        ),
        ({"space": SPACE, "sampler": "tpee"}, "did you mean 'tpe'"),
        ({"space": SPACE, "pruner": "medain"}, "did you mean 'median'"),
        ({"space": SPACE, "sampler": {"name": "tpe", "startups": 1}}, "did you mean 'startup'"),
        ({"space": SPACE, "sampler": {"startup": 1}}, "needs a name"),
        ({"space": SPACE, "second": "macs", "pruner": "median"}, "can't be pruned"),
        ({"space": SPACE, "n_trials": 0}, "greater than or equal to 1"),
    ],
)
def test_what_can_not_be_is_refused(search: dict[str, object], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        SearchOptions.model_validate(search)


def test_a_second_objective_is_not_pruned_by_default() -> None:
    one = SearchOptions.model_validate({"space": SPACE})
    two = SearchOptions.model_validate({"space": SPACE, "second": "macs"})
    assert type(one.pruner_choice()).__name__ == "Median"
    assert type(two.pruner_choice()).__name__ == "NoPruning"


def test_grids_by_hand() -> None:
    assert Span(low=1, high=4).grid() == [1, 2, 3, 4]
    assert Span(low=1, high=8, step=3).grid() == [1, 4, 7]
    assert Span(low=0.0, high=0.5, step=0.25).grid() == [0.0, 0.25, 0.5]
    assert Span(low=1e-4, high=1e-2, log=True, points=3).grid() == pytest.approx([1e-4, 1e-3, 1e-2])
    assert Span(low=1, high=100, log=True, points=3).grid() == [1, 10, 100]
    assert Span(low=0.1, high=0.3).grid() == []
    assert Span(choices=["a", {"name": "b"}]).grid() == ["a", {"name": "b"}]


@pytest.mark.parametrize(
    ("low", "high", "step", "values"),
    [
        (0.0, 0.9, 0.3, [0.0, 0.3, 0.6, 0.9]),
        (0, 0.9, 0.3, [0.0, 0.3, 0.6, 0.9]),
        (0.0, 1.0, 0.3, [0.0, 0.3, 0.6, 0.9]),
        (0.1, 0.7, 0.1, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]),
        (1e-5, 3e-5, 1e-5, [1e-5, 2e-5, 3e-5]),
        (1, 8, 3, [1, 4, 7]),
    ],
)
def test_every_step_is_tried_up_to_the_end(low: float, high: float, step: float, values: list[float]) -> None:
    import optuna

    from optimize.search.suggestion import suggest

    options = SearchOptions.model_validate({"space": {"x": {"low": low, "high": high, "step": step}}})
    assert options.space["x"].grid() == values
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    tried = {suggest(study.ask(), options)["x"] for _ in range(100)}
    assert sorted(map(float, tried)) == pytest.approx(values)  # type: ignore[arg-type]
    study = optuna.create_study(sampler=SAMPLERS.choose("grid").build(0, 0, options.space))
    study.optimize(lambda trial: float(suggest(trial, options)["x"]))  # type: ignore[arg-type]
    assert sorted(one.params["x"] for one in study.trials) == values


@given(low=st.floats(1e-6, 1e3), factor=st.floats(1.0, 1e6), points=st.integers(2, 50), log=st.booleans())
def test_a_grid_lies_within_its_range_in_order(low: float, factor: float, points: int, log: bool) -> None:
    span = Span(low=low, high=low * factor, log=log, points=points)
    values = [float(value) for value in span.grid() if isinstance(value, float)]
    assert len(values) == points
    assert values == sorted(values)
    assert (values[0], values[-1]) == (low, low * factor)


@given(
    st.recursive(
        st.booleans() | st.integers(-9, 9) | st.floats(allow_nan=False) | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
        max_leaves=6,
    ).filter(lambda value: not (isinstance(value, str) and value.startswith("json:")))
)
def test_a_choice_comes_back_as_it_was(value: object) -> None:
    stored = to_stored(value)  # type: ignore[arg-type]
    assert isinstance(stored, str | bool | int | float)
    assert from_stored(stored) == value


@pytest.mark.parametrize("name", list(SAMPLERS))
def test_every_sampler_builds_and_draws_by_its_seed(name: str) -> None:
    import optuna

    space = {"x": Span(low=0.0, high=1.0, step=0.01)}

    def drawn(seed: int) -> list[float]:
        found = []
        study = optuna.create_study()
        for trial in range(4):
            study.sampler = SAMPLERS.choose(name).build(seed, trial, space)
            found.append(study.ask().suggest_float("x", 0.0, 1.0, step=0.01))
        return found

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)
    assert len(set(drawn(1))) == 4


@pytest.mark.parametrize("name", list(PRUNERS))
def test_every_pruner_spares_the_best_and_all_but_none_end_the_worst(name: str) -> None:
    import optuna

    settings: dict[str, object] = {"startup": 2} if name == "median" else {}
    pruner = PRUNERS.choose(name, settings).build(9)
    study = optuna.create_study(direction="maximize", pruner=pruner, sampler=optuna.samplers.RandomSampler(seed=0))
    ended = set()
    for value in (0.9, 0.8, 0.7, 0.95, 0.1, 0.2, 0.15, 0.05, 0.12, 0.03):
        trial = study.ask()
        for epoch in range(1, 10):
            trial.report(value, epoch)
            if trial.should_prune():
                ended.add(value)
                break
        study.tell(trial, value)
    assert 0.95 not in ended
    assert bool(ended & {0.05, 0.03}) == (name != "none")


def test_a_grid_without_its_points_is_refused() -> None:
    with pytest.raises(RecipeError, match="points, step or choices"):
        SAMPLERS.choose("grid").build(1, 0, {"x": Span(low=0.1, high=0.2)})
    with pytest.raises(RecipeError, match="more than 100,000"):
        SAMPLERS.choose("grid").build(1, 0, {name: Span(low=1, high=100) for name in "abc"})
    with pytest.raises(RecipeError, match="when"):
        SAMPLERS.choose("grid").build(1, 0, {"a": Span(choices=[1]), "b": Span(choices=[1], when={"a": 1})})
