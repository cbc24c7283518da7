"""Runs of a second: a net of a few hundred weights on pictures of stripes that lean one way or the other."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from optimize.training.recipe import Recipe, parse_recipe

SIDE = 16


def write_stripes(folder: Path, *, classes: int = 2, each: int = 12, seed: int = 0, noise: float = 15.0) -> Path:
    """Class folders of grey PNGs; class k has stripes of the k-th direction; noise of 300 hides some."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:SIDE, 0:SIDE]
    for number in range(classes):
        (folder / f"class{number}").mkdir(parents=True, exist_ok=True)
        for index in range(each):
            angle = np.pi * number / classes
            wave = np.sin((rows * np.cos(angle) + columns * np.sin(angle)) * rng.uniform(0.8, 1.2) + rng.uniform(0, 6))
            pixels = np.clip(128 + 90 * wave + rng.normal(0, noise, (SIDE, SIDE)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / f"class{number}" / f"{index:03}.png")
    return folder


def small_content(pictures: Path, /, **tables: Any) -> dict[str, Any]:  # noqa: ANN401
    """A recipe's tables for such pictures; ``tables`` replace or add to them, one level deep."""
    content: dict[str, Any] = {
        "name": "stripes",
        "seed": 5,
        "data": {"train": str(pictures), "val_share": 0.25, "look_alikes": False, "workers": 1},
        "model": {"architecture": "grey28", "height": SIDE, "width": SIDE},
        "optimiser": {"name": "adamw", "lr": 0.01},
        "train": {"epochs": 2, "batch_size": 6, "threads": 1, "device": "cpu", "precision": "fp32"},
    }
    for key, value in tables.items():
        old = content.get(key)
        content[key] = {**old, **value} if isinstance(old, dict) and isinstance(value, dict) else value
    return content


def small_recipe(pictures: Path, /, **tables: Any) -> Recipe:  # noqa: ANN401
    """``small_content``, validated."""
    return parse_recipe(small_content(pictures, **tables))
