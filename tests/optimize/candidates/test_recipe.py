"""Recipes: what is refused, and that a complete one comes back."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from model_zoo.bundle import read_bundle
from optimize.candidates.plan import plan
from optimize.candidates.recipe import parse_optimize_recipe
from optimize.errors import RecipeError
from optimize.training.recipe_file import to_toml
from tests.optimize.candidates.small import INT8, content, recipe


def test_a_complete_recipe_reads_back_the_same(tmp_path: Path) -> None:
    one = recipe(
        tmp_path, {"name": "a", "steps": [{"name": "resize", "height": 12}, {"name": "finetune"}, "quantize_int8"]}
    )
    assert parse_optimize_recipe(tomllib.loads(to_toml(one))) == one


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"candidate": [{"name": "a", "steps": [{"name": "quantise_int8"}]}]}, "did you mean 'quantize_int8'"),
        ({"candidate": [{"name": "a", "steps": [{"name": "resize", "hight": 12}]}]}, "did you mean 'height'"),
        ({"candidate": [{"name": "a", "steps": []}]}, "at least 1"),
        ({"candidate": [{"name": "parent", "steps": [INT8]}]}, "names of their own"),
        ({"candidate": [{"name": "a", "steps": [INT8]}, {"name": "a", "steps": [INT8]}]}, "names of their own, .*: a"),
        ({"budget": {"max_drops": 1.0}}, "did you mean 'max_drop'"),
        ({"budget": {"max_drop": -1.0}}, "greater than or equal to 0"),
        ({"measure": {"batch": 9}}, "less than or equal to 8"),
    ],
)
def test_what_is_wrong_is_named_with_the_nearest_right(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        parse_optimize_recipe(content(tmp_path, **changed))


def test_the_plan_is_a_recipe_and_leaves_strangers_the_passes_alone(tmp_path: Path) -> None:
    made = content(tmp_path)
    parent = read_bundle(Path(made["model"]))
    tried = parse_optimize_recipe({**made, "candidate": plan(parent, 2)}).candidate
    assert {"int8", "macs50", "macs50-int8"} <= {one.name for one in tried}
    assert all(step.choice.epochs == 2 for one in tried for step in one.steps if step.name == "finetune")
    stranger = plan(_without_weights(parent), 2)
    assert {step["name"] for one in stranger for step in one["steps"]} == {
        "quantize_int8",
        "float16",
        "cluster_weights",
    }


def _without_weights(bundle: Any) -> Any:  # noqa: ANN401
    class Stranger:
        spec, weights_path = bundle.spec, None

    return Stranger()
