"""A run that is killed, for real and at any moment, ends as one that was not."""

import json
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from model_zoo.store import Store
from tests.optimize.candidates.small import INT8, content

KILLS = 10
CHAINS = (
    {"name": "int8", "steps": [INT8]},
    {"name": "half", "steps": [{"name": "float16"}]},
    {"name": "px12", "steps": [{"name": "resize", "height": 12}, {"name": "finetune", "epochs": 3}]},
    {"name": "px12-int8", "steps": [{"name": "resize", "height": 12}, {"name": "finetune", "epochs": 3}, INT8]},
)


def command(recipe: Path, out: Path) -> list[str]:
    return [sys.executable, "-m", "quickeye", "optimize", str(recipe), "--out", str(out)]


def run(recipe: Path, out: Path) -> float:
    """To the end; seconds."""
    begun = time.monotonic()
    done = subprocess.run(command(recipe, out), capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode in (0, 1), done.stderr
    assert (out / "report.html").exists(), done.stderr
    return time.monotonic() - begun


def facts(out: Path) -> dict[str, Any]:
    """What is journaled, but for the recipe and the data; empty before the journal is there."""
    path = out / "state.json"
    state = json.loads(path.read_text()) if path.exists() else {}
    return {key: value for key, value in state.items() if " " in key}


def models(out: Path) -> dict[str, bytes]:
    """Every step's graph, by the step's folder."""
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted((out / "steps").rglob("model.onnx"))}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_ten_kills_change_no_model_and_no_figure_that_was_taken(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(tomli_w.dumps(content(tmp_path, *CHAINS, budget={"max_drop": 100.0})))
    whole, out = tmp_path / "whole", tmp_path / "killed"
    seconds, moments, known = run(recipe, whole), random.Random(5), {}
    for _ in range(KILLS):
        process = subprocess.Popen(command(recipe, out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            process.wait(moments.uniform(0.2, 0.8) * seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        now = facts(out)
        assert {key: now[key] for key in known} == known, "what was taken is not taken again"
        known = now
    run(recipe, out)
    ended = facts(out)
    assert {key: ended[key] for key in known} == known
    assert models(out) == models(whole)
    assert ended.keys() >= facts(whole).keys() - {key for key in facts(whole) if key.startswith("guard")}
    for key, value in facts(whole).items():
        if not key.startswith(("speed", "guard")):
            assert ended[key] == value, key
    front = {one["name"] for one in json.loads((out / "result.json").read_text())["candidates"] if one["is_on_front"]}
    assert set(Store(out / "store").names()) == {f"stripes-{name}" for name in front - {"parent"}}
