"""Recipes of ``quickeye optimize`` that come with Quickeye: found by name, right, and a wrong one says where."""

from pathlib import Path

import pytest

from optimize.candidates.photo_views import CalibrationPhotos
from optimize.candidates.recipe import parse_optimize_recipe
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
