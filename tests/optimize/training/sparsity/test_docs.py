"""docs/sparsity.md names every setting with its default, and its examples run."""

import re
import tomllib
from pathlib import Path

import pytest

from optimize.candidates.recipe import parse_optimize_recipe
from optimize.judging.zeros import zeros_of
from optimize.training.sparsity.options import SparsityOptions
from tests.optimize.passes.test_sparse_storage import wide_net

TEXT = (Path(__file__).parents[4] / "docs" / "sparsity.md").read_text(encoding="utf-8")


def example(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)
    assert found is not None
    return found[1]


def test_every_setting_is_in_the_table_with_its_default() -> None:
    table = TEXT.split("| key | default | |\n", 1)[1].split("\n\n", 1)[0]
    said: dict[str, str] = {}
    for row in table.splitlines()[1:]:
        keys, defaults = (re.sub("`", "", cell).strip().split(", ") for cell in row.split("|")[1:3])
        said |= dict(zip(keys, defaults, strict=True))
    real = {name: f"{field.default:g}" if isinstance(field.default, float) else str(field.default)
            for name, field in SparsityOptions.model_fields.items()}  # fmt: skip
    assert said == real


def test_the_recipe_is_one() -> None:
    recipe = parse_optimize_recipe(tomllib.loads(example("toml")))
    assert [one.name for one in recipe.candidate] == ["sparse", "sparse-int8"]


def test_the_python_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.onnx").write_bytes(wide_net(0.0))

    exec(compile(example("python"), "docs/sparsity.md", "exec"), {})

    smaller = (tmp_path / "smaller.onnx").read_bytes()
    assert zeros_of(smaller).share == pytest.approx(0.8, abs=1e-3)
    assert len(smaller) < 0.6 * len(wide_net(0.0))
