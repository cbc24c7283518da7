"""Runs whose parent tells red, green and blue apart: in colour, so that photos of packages calibrate."""

from pathlib import Path
from typing import Any

import pytest

from model_zoo.bundle import Bundle
from model_zoo.store import Store
from optimize.candidates import run as running
from optimize.candidates.bench import Bench
from optimize.candidates.opening import open_bench, open_parent
from optimize.candidates.recipe import OptimizeRecipe, parse_optimize_recipe
from optimize.candidates.result import Result
from optimize.candidates.run import Run
from optimize.candidates.writing import write_all
from tests.optimize.candidates.small import speed
from tests.optimize.commands.colour_bundle import COLOURS, colour_bundle, folder_of

PHOTOS: dict[str, object] = {"photos": ["skimage:data/chelsea.png", "skimage:data/coffee.png"], "shares": [1.0]}
CHECK = [f"skimage:data/{name}" for name in ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg")]


def colour_content(tmp_path: Path, **tables: Any) -> dict[str, Any]:  # noqa: ANN401
    """A recipe's tables: 30 pictures, made where they are missing, no labels looked at, photos that calibrate."""
    pictures, store = tmp_path / "pictures", tmp_path / "models"
    if not pictures.exists():
        folder_of(pictures, **{name: [name] * 10 for name in COLOURS})
        colour_bundle(store)
    return {
        "name": "shades",
        "model": str(store / "colours" / "1"),
        "labelled": False,
        "calibration": PHOTOS,
        "data": {"train": str(pictures), "look_alikes": False, "workers": 1},
        "budget": {"max_drop": 100.0},
        "measure": {"seconds": 0.02, "backend": "onnxruntime", "threads": 1},
        "candidate": [{"name": "int8", "steps": ["quantize_int8"]}],
        **tables,
    }


def colour_recipe(tmp_path: Path, **tables: Any) -> OptimizeRecipe:  # noqa: ANN401
    """``colour_content``, validated."""
    return parse_optimize_recipe(colour_content(tmp_path, **tables))


def opened(recipe: OptimizeRecipe, folder: Path) -> Bench:
    """The run's bench; nothing in it trains."""
    parent: Bundle = open_parent(recipe.model, Store(folder.parent / "store"), folder)
    return open_bench(recipe, folder, parent, _no_training, lambda _: None)


def optimized(recipe: OptimizeRecipe, folder: Path) -> Result:
    """The whole run."""
    bench = opened(recipe, folder)
    return write_all(Run(bench), bench)


def four_times_as_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing takes time, and every candidate is worth having."""

    def measure(candidate: Any, parent: Any, _: object) -> Any:  # noqa: ANN401
        return speed(4.0 if candidate.bundle is not parent.bundle else 1.0)

    monkeypatch.setattr(running, "measure_speed", measure)


def _no_training(*_: object, **__: object) -> Any:  # noqa: ANN401
    raise AssertionError("nothing is trained here")
