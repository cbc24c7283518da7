"""``quickeye train`` of recipes that are made of many trainings."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from optimize.commands import train_compound
from optimize.commands.train_compound import run_compound
from optimize.errors import MissingLibraryError, RecipeError
from optimize.training.recipe import Recipe, parse_recipe

SEARCH = {"space": {"train.batch_size": [16, 32]}, "sampler": "grid"}


def recipe(**tables: object) -> Recipe:
    content: dict[str, object] = {
        "name": "halves",
        "data": {"train": "nowhere", "val_share": 0.3},
        "model": {"architecture": "grey28"},
        "train": {"epochs": 1, "batch_size": 16, "threads": 1},
    }
    return parse_recipe({**content, **tables})


def test_two_at_once_are_refused(tmp_path: Path) -> None:
    both = recipe(search=SEARCH, cross_validation={"folds": 2})
    with pytest.raises(RecipeError, match="search, cross_validation"):
        run_compound(both, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_ctrl_c_is_130_and_says_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(recipe: Recipe, folder: Path) -> tuple[dict[str, object], str]:
        raise KeyboardInterrupt

    monkeypatch.setattr(train_compound, "_search", interrupted)
    assert run_compound(recipe(search=SEARCH), tmp_path / "run") == 130
    assert "the same command goes on" in capsys.readouterr().err


def test_without_optuna_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingLibraryError, match="pip install"):
        run_compound(recipe(search=SEARCH), tmp_path / "run")


@pytest.mark.slow
def test_a_search_of_two_processes_prints_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    draw = np.random.default_rng(0)
    for name in ("dark", "light"):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for number in range(20):
            picture = draw.normal(60 if name == "dark" else 180, 20, (28, 28)).clip(0, 255).astype(np.uint8)
            Image.fromarray(picture).save(tmp_path / "pictures" / name / f"{number}.png")
    data = {"train": str(tmp_path / "pictures"), "val_share": 0.3}
    searched = recipe(data=data, search={**SEARCH, "workers": 2, "pruner": "none"})
    assert run_compound(searched, tmp_path / "run", as_json=True) == 0
    found = json.loads(capsys.readouterr().out)
    assert {one["state"] for one in found["trials"]} == {"complete"}
    assert {one["parameters"]["train.batch_size"] for one in found["trials"]} == {16, 32}
    assert (tmp_path / "run/store/halves/1/manifest.json").exists()
    assert run_compound(searched, tmp_path / "run") == 0
    assert "best of 2 trials" in capsys.readouterr().out
