"""The program behind ``make bundle``, but for its minutes of work."""

import hashlib
from pathlib import Path

import pytest

from model_zoo.manifest import Accuracy
from optimize.recipe import read_recipe
from optimize.ship import RECIPE, lineage, main
from optimize.shipped_card import write_card

FIGURE = Accuracy(
    dataset="foolbox", split="imagenet", n=20, metric="top1", value=0.9, ci95=(0.699, 0.972), reference="x"
)


def test_lineage_names_parent_passes_and_versions() -> None:
    recipe = read_recipe(RECIPE)
    made = lineage(recipe, b"float model")
    assert made.parent == recipe.parent
    assert made.passes[0].parameters == {"sha256": hashlib.sha256(b"float model").hexdigest()}
    assert made.passes[1].name == "quantize_int8"
    assert made.passes[1].parameters["range_method"] == "percentile"
    assert {"torch", "onnx", "numpy"} <= made.tools.keys()
    assert made.recipe is not None
    assert (Path(__file__).parents[2] / made.recipe).is_file()


def test_card_is_filled_in() -> None:
    card = write_card(read_recipe(RECIPE), 5_071_110, 61, [FIGURE])
    assert "{" not in card
    assert "5.1 MB" in card
    assert "**90.0 %** (18 of 20); 95 % interval 69.9 % to 97.2 %" in card


def test_missing_photos_end_the_program_with_a_reason(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(RECIPE.read_text(encoding="utf-8").replace("skimage:", "no_such_package:"), encoding="utf-8")
    monkeypatch.setattr("optimize.ship.RECIPE", recipe)
    monkeypatch.setattr("optimize.ship.float_model", lambda _: b"")
    assert main(["--store", str(tmp_path / "store")]) == 1
    assert "pip install no_such_package" in capsys.readouterr().err
    assert not (tmp_path / "store").exists()
