"""docs/training.md against the code."""

import re
import tomllib
from pathlib import Path

from optimize.training.recipe import Recipe
from optimize.training.recipe_file import to_toml
from optimize.training.run_folder import RunFolder
from optimize.training.run_state import FREE
from optimize.training.train_options import TrainOptions
from tests.optimize.training.small_runs import small_recipe

PAGE = Path(__file__).parents[3] / "docs" / "training.md"
TEXT = PAGE.read_text(encoding="utf-8")


def rows(heading: str) -> list[list[str]]:
    """Cells of the tables between a heading and the next."""
    part = TEXT.split(f"\n{heading}\n", 1)[1].split("\n#", 1)[0]
    lines = [line.strip().strip("|").split(" | ") for line in part.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line] for line in lines]


def test_the_table_of_train_is_the_code_s_with_its_defaults() -> None:
    said = {row[0].strip("`"): row[1].strip("`") for row in rows("### `[train]`")[2:]}

    shown = {"False": "false", "True": "true", "0.0": "0", "()": "none"}
    real = {name: str(field.default) for name, field in TrainOptions.model_fields.items()}
    assert said == {name: shown.get(default, default) for name, default in real.items()}


def test_every_key_of_a_recipe_is_there() -> None:
    keys = {name for row in rows("## Recipes") for name in re.findall(r"`([a-z_]+)`", row[0])}

    assert keys == set(Recipe.model_fields)


def test_every_file_of_a_run_is_there() -> None:
    folder = RunFolder(Path())
    names = [name for name, kind in vars(RunFolder).items() if isinstance(kind, property)]
    paths = {getattr(folder, name).as_posix() for name in names} - {folder.bad_batch.as_posix()}

    assert sorted(path for path in paths if f"`{path}" not in TEXT) == []
    assert f"`{folder.bad_batch}`" in TEXT


def test_what_may_change_is_said() -> None:
    named = {f"data.{name}" for name in ("train", "val", "test", "target")}

    assert sorted(field for field in FREE - named if f"`{field}`" not in TEXT) == []


def test_a_complete_recipe_has_all_that_the_page_names(tmp_path: Path) -> None:
    content = tomllib.loads(to_toml(small_recipe(tmp_path)))

    assert set(TrainOptions.model_fields) == set(content["train"])
