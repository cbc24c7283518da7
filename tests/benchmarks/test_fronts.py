"""A front's documents, of a small run that really was made."""

import json
from pathlib import Path

import pytest
import tomli_w

from benchmarks.fronts import NAMES, command, written
from optimize.candidates.recipe import parse_optimize_recipe
from optimize.commands.optimize import main
from optimize.commands.optimize_flags import make_parser, recipe_content
from tests.optimize.candidates.small import content


def test_the_documents_tell_what_the_run_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe, out = tmp_path / "recipe.toml", tmp_path / "run"
    recipe.write_text(tomli_w.dumps(content(tmp_path)))
    assert main([str(recipe), "--out", str(out), "--max-drop", "100", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    text = written("small", result, out / "report.html", 61.4, tmp_path / "docs")
    kept = json.loads((tmp_path / "docs" / "small.json").read_text())
    assert (kept["seconds"], kept["result"]) == (61, result)
    assert (tmp_path / "docs" / "small.html").read_bytes() == (out / "report.html").read_bytes()
    assert (tmp_path / "docs" / "small.table.md").read_text() == text
    (row,) = [line for line in text.splitlines() if line.startswith("| **int8** |")]
    found = next(one for one in result["candidates"] if one["name"] == "int8")
    assert f"{found['speed']['faster']:.2f} ± {found['speed']['spread']:.2f}" in row
    assert f"{found['verdict']['paired']['drop']:.2f} (" in row
    assert len(text.splitlines()) == 2 + len(result["candidates"])


def test_the_clothes_that_guard_are_those_that_the_parent_never_saw(tmp_path: Path) -> None:
    words = command("clothing", tmp_path / "parent-1", tmp_path, tmp_path / "out")
    assert {"data.hold_out=1000", "data.val_share=0.05", f"model={tmp_path / 'parent-1'}"} <= set(words)
    with pytest.raises(SystemExit, match="--clothing"):
        command("clothing", tmp_path / "parent-1", None, tmp_path / "out")


@pytest.mark.parametrize("name", NAMES)
def test_the_command_is_one_that_a_user_may_type(name: str, tmp_path: Path) -> None:
    word, *words = command(name, tmp_path / "parent-1", tmp_path, tmp_path / "out", minutes=40)
    assert word == "optimize"
    recipe = parse_optimize_recipe(recipe_content(make_parser().parse_args(words)))
    assert recipe.model == str(tmp_path / "parent-1")
    assert (recipe.budget.minutes, recipe.measure.backend) == (40, "onnxruntime")
