"""Recipes of ``quickeye optimize`` that come with Quickeye: found by name, right, and a wrong one says where."""

import json
from pathlib import Path
from typing import Any

import pytest

from optimize.candidates.photo_views import CalibrationPhotos
from optimize.candidates.recipe import parse_optimize_recipe
from optimize.commands.optimize import main as optimize
from optimize.commands.train import main as train
from optimize.data.package_files import found_file
from optimize.errors import RecipeError
from optimize.training.recipe_file import SHIPPED, read_content, shipped_recipes

LITE0 = "efficientnet_lite0_int8"
TEXT = (SHIPPED / f"{LITE0}.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", shipped_recipes("candidate"))
def test_shipped_recipes_are_right_and_say_how_they_are_run(name: str) -> None:
    recipe = parse_optimize_recipe(read_content(name, "candidate"), origin=name)
    assert recipe.candidate
    assert f"quickeye optimize {name} " in (SHIPPED / f"{name}.toml").read_text(encoding="utf-8")


def test_a_recipe_is_of_one_kind() -> None:
    assert LITE0 in shipped_recipes("candidate")
    assert not set(shipped_recipes()) & set(shipped_recipes("candidate"))
    with pytest.raises(RecipeError, match="no recipe is named"):
        read_content("fashion_mnist", "candidate")


def test_no_judging_photo_calibrates() -> None:
    recipe = parse_optimize_recipe(read_content(LITE0, "candidate"))
    assert isinstance(recipe.calibration, CalibrationPhotos)
    judging = found_file(recipe.data.train_paths[0]).read_text(encoding="utf-8")
    assert not [photo for photo in recipe.calibration.photos if photo in judging or "clothing" in photo]


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("version = 3", "version = 0", "version"),
        ("version = 3", 'version = "1"', "version"),
        ("check = [", "checks = [", "did you mean 'check'"),
        ("shares = [1.0", "shares = [1.5", "shares"),
        ("float_layers = [", "percentile = 1.5, float_layers = [", "percentile"),
        ("float_layers = [", 'range_method = "entropies", float_layers = [', "range_method"),
        ('"quantize_int8"', '"shrink_ray"', "no step is named 'shrink_ray'"),
        ("[calibration]", "[calibration", "is not TOML"),
    ],
)
def test_wrong_field_is_named(tmp_path: Path, old: str, new: str, says: str) -> None:
    path = tmp_path / "recipe.toml"
    assert old in TEXT
    path.write_text(TEXT.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(RecipeError, match=says):
        parse_optimize_recipe(read_content(str(path), "candidate"))


def test_absent_recipe_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"absent\.toml"):
        read_content(str(tmp_path / "absent.toml"), "candidate")


@pytest.mark.needs_fashion_mnist
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_front_of_fashion_mnist_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(["fashion_mnist", "--smoke", "--out", str(tmp_path / "parent")]) == 0

    found = smoke_run("fashion_mnist_fast", tmp_path, capsys, "--set", "budget.max_drop=100")

    assert {one["name"] for one in found["candidates"]} >= {"int8", "macs60", "macs5-int8"}


@pytest.mark.needs_clothing
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_front_of_the_clothes_runs(clothing: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pictures = ["--data", str(clothing / "train"), "--test", str(clothing / "validation")]
    sizes = ["--set", "train.sizes=[[0.9, 64]]"]
    assert train(["clothing", *pictures, "--smoke", *sizes, "--out", str(tmp_path / "parent")]) == 0

    found = smoke_run("clothing_fast", tmp_path, capsys, *pictures, "--set", "budget.max_drop=100")

    heights = {one["name"]: one["height"] for one in found["candidates"]}
    assert (heights["int8"], heights["short"], heights["short128-macs10-int8"]) == (224, 160, 128)


def smoke_run(name: str, folder: Path, capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    """The result of the whole recipe, of the model in ``parent``: every candidate is made, and some are served."""
    capsys.readouterr()
    parent, out = folder / "parent", folder / "run"
    assert optimize([name, *words, "--smoke", "--set", f"model={parent}", "--out", str(out), "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert {one["state"] for one in found["candidates"]} == {"made"}
    assert [*(out / "store").iterdir()]
    return found
