"""Recipes: what is refused, and that a complete one comes back."""

import tomllib
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from model_zoo.bundle import Bundle, read_bundle
from model_zoo.store import shipped_store
from optimize.candidates import plan as planning
from optimize.candidates.plan import plan, search_space
from optimize.candidates.recipe import parse_optimize_recipe
from optimize.errors import RecipeError
from optimize.training.recipe_file import to_toml
from server.backends.cpu_features import CpuFeatures
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


def test_what_is_wrong_further_in_is_told_once(tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as refused:
        parse_optimize_recipe(content(tmp_path, candidate=[{"name": "a", "steps": [{"name": "quantise_int8"}]}]))
    assert "at least 1" not in str(refused.value)


def test_the_plan_is_a_recipe_and_leaves_strangers_the_passes_alone(tmp_path: Path) -> None:
    made = content(tmp_path)
    parent = read_bundle(Path(made["model"]))
    tried = parse_optimize_recipe({**made, "candidate": plan(parent, 2)}).candidate
    assert {"int8", "macs50", "macs50-int8"} <= {one.name for one in tried}
    assert all(step.choice.epochs == 2 for one in tried for step in one.steps if step.name == "finetune")
    stranger = plan(_without_weights(parent), 2)
    assert {step["name"] for one in stranger for step in one["steps"]} == {
        "fold",
        "quantize_int8",
        "float16",
        "cluster_weights",
    }


def test_of_a_float16_parent_a_float32_one_is_tried_and_everything_else_starts_there(tmp_path: Path) -> None:
    parent = read_bundle(Path(content(tmp_path)["model"]))
    half = cast("Bundle", SimpleNamespace(spec=replace(parent.spec, precision="fp16"), weights_path=None))
    planned = plan(half, 2)
    assert [one["name"] for one in planned] == ["int8", "float32", "clustered"]
    assert {one["steps"][0]["name"] for one in planned} == {"float32"}
    assert next(iter(search_space(half, ()))) == "float32"


@pytest.mark.parametrize(
    ("flags", "channels", "width"),
    [({"avx2"}, 96, 8), ({"avx2", "avx512f"}, 96, 16), ({"avx2", "avx512f"}, 63, 8), ({"avx2", "avx512f"}, None, 8)],
)
def test_the_plan_cuts_to_widths_that_this_cpu_takes_at_once(
    flags: set[str], channels: int | None, width: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``channels`` None: the small parent's own, of which multiples of 16 could not cut away half the work."""
    monkeypatch.setattr(planning, "cpu_features", lambda: CpuFeatures("test", "x86_64", frozenset(flags)))
    parent = read_bundle(Path(content(tmp_path)["model"]))
    if channels is not None:
        weights = [numpy_helper.from_array(np.zeros((channels, 3, 1, 1), np.float32), f"w{n}") for n in range(3)]
        model = onnx.helper.make_model(onnx.helper.make_graph([], "layers", [], [], weights))
        parent = cast(
            "Bundle",
            SimpleNamespace(spec=parent.spec, weights_path=parent.weights_path, read_model=model.SerializeToString),
        )
    planned = plan(parent, 2)
    cuts = [step["round_to"] for one in planned for step in one["steps"] if step["name"] == "prune"]
    assert cuts
    assert set(cuts) == {width}


@pytest.mark.parametrize("side", [28, 96, 128, 160, 224, 320])
def test_a_plan_has_a_name_for_each(tmp_path: Path, side: int) -> None:
    made = content(tmp_path)
    parent = read_bundle(Path(made["model"]))
    spec = SimpleNamespace(input=parent.spec.input.at_size(side, side), precision="fp32", architecture="any")
    planned = plan(cast("Bundle", SimpleNamespace(spec=spec, weights_path=Path(), read_model=parent.read_model)), 1)
    sides = {one["name"] for one in planned if one["name"].startswith("px") and not one["name"].endswith("int8")}
    assert len(parse_optimize_recipe({**made, "candidate": planned}).candidate) == len(planned)
    assert all(96 <= int(name[2:]) < side for name in sides)
    assert len(sides) == {28: 0, 96: 0, 128: 1, 160: 1}.get(side, 2)


def test_a_quantised_parent_is_answered_with_where_to_begin() -> None:
    with pytest.raises(RecipeError, match=r"quantised already.*zoo:NAME"):
        plan(shipped_store().open("efficientnet_lite0"), 1)


def _without_weights(bundle: Any) -> Any:  # noqa: ANN401
    class Stranger:
        spec, weights_path = bundle.spec, None

    return Stranger()
