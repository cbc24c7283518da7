"""Recipes: the shipped one is valid, a wrong one says where."""

from pathlib import Path

import pytest

from optimize.errors import RecipeError, UnknownPassError
from optimize.recipe import RECIPES, read_recipe

SHIPPED = (RECIPES / "efficientnet_lite0_int8.toml").read_text(encoding="utf-8")


# Those of training have a test of their own.
COMPRESSION = sorted(path for path in RECIPES.glob("*.toml") if "[[passes]]" in path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", COMPRESSION, ids=lambda path: path.stem)
def test_every_recipe_in_the_folder_is_valid(path: Path) -> None:
    assert read_recipe(path).passes


def test_no_judging_photo_calibrates() -> None:
    recipe = read_recipe(RECIPES / "efficientnet_lite0_int8.toml")
    assert not any("foolbox" in photo or "clothing" in photo for photo in recipe.calibration.photos)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("version = 2", "version = 0", "version"),
        ("version = 2", 'version = "1"', "version"),
        ("[check]", "[checks]", "check"),
        ("shares = [1.0", "shares = [1.5", "shares"),
        ("percentile = 0.9999", "percentile = 1.5", "percentile"),
        ('range_method = "percentile"', 'range_method = "entropies"', "range_method"),
        ("[calibration]", "[calibration", "TOML|Expected|table"),
    ],
)
def test_wrong_field_is_named(tmp_path: Path, old: str, new: str, says: str) -> None:
    path = tmp_path / "recipe.toml"
    assert old in SHIPPED
    path.write_text(SHIPPED.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(RecipeError, match=says):
        read_recipe(path)


def test_unknown_pass_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(SHIPPED.replace('"quantize_int8"', '"shrink_ray"'), encoding="utf-8")
    with pytest.raises(UnknownPassError, match="shrink_ray"):
        read_recipe(path)


def test_absent_recipe_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"absent\.toml"):
        read_recipe(tmp_path / "absent.toml")
