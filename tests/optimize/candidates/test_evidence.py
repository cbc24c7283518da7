"""What the report of a run shows of its best candidate, and the score for "unknown" that its bundles hold."""

import base64
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

import optimize.candidates.run as running
from model_zoo.store import Store
from optimize.candidates.opening import open_bench, open_parent
from optimize.candidates.recipe import OptimizeRecipe, parse_optimize_recipe
from optimize.candidates.result import Result
from optimize.candidates.run import Run
from optimize.candidates.text import as_text
from optimize.candidates.writing import write_all
from optimize.errors import RecipeError
from tests.optimize.candidates.small import content, recipe, speed

NO_BUDGET = {"max_drop": 100.0}


@pytest.fixture(autouse=True)
def measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing takes time."""
    monkeypatch.setattr(running, "measure_speed", lambda *_: speed(4.0))


def ended(one: OptimizeRecipe, folder: Path) -> Result:
    bench = open_bench(one, folder, open_parent(one.model, Store(folder), folder), untrained, lambda _: None)
    return write_all(Run(bench), bench)


def untrained(*_: object, **__: object) -> Any:  # noqa: ANN401 - nothing here trains
    raise AssertionError("nothing is to be trained")


def test_the_page_shows_the_guard_s_tests_the_layers_and_torch_beside_the_graph(tmp_path: Path) -> None:
    ended(recipe(tmp_path, budget=NO_BUDGET), tmp_path / "run")
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    for words in ("McNemar", "Tango", "bootstrap", "same answer as the parent", "calibration error", "log loss"):
        assert words in page
    assert "answers are the same; logits differ by at most" in page
    assert "<th>computed in</th>" in page
    assert page.count("<td>integers</td>") > 5
    assert len(re.findall(r"<td>integers</td><td>\d+\.\d{3}</td>", page)) == page.count("<td>integers</td>")
    assert '<th scope="row">log loss</th>' in page
    assert f"quickeye optimize {tmp_path / 'run' / 'recipe.toml'} --out {tmp_path / 'run'}-again" in page


def test_the_only_script_is_the_one_that_the_page_allows(tmp_path: Path) -> None:
    ended(recipe(tmp_path, budget=NO_BUDGET), tmp_path / "run")
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page
    assert not re.search(r"https?://(?!www\.w3\.org)", page)


def test_bundles_of_the_front_hold_the_threshold_that_the_recipe_asks_for(tmp_path: Path) -> None:
    """Ten pictures guard: they can promise that at most half are unknown, and not that 5 % are wrong."""
    asked = recipe(tmp_path, budget=NO_BUDGET, abstain={"max_unknown": 50.0})
    result = ended(asked, tmp_path / "run")
    (made,) = [one for one in result.candidates if one.bundle]
    assert made.threshold is not None
    held = Store(tmp_path / "run" / "store").open("stripes-int8").manifest.abstain
    assert held is not None
    assert (held.threshold, held.promise, held.limit, held.n) == (made.threshold.value, "max_unknown", 0.5, 10)
    assert "unknown below a score of" in as_text(result, asked, tmp_path / "run")
    written = json.loads((tmp_path / "run" / "result.json").read_text())
    assert written["candidates"][1]["threshold"]["value"] == held.threshold
    strict = recipe(tmp_path, budget=NO_BUDGET, abstain={"max_error": 5.0})
    result = ended(strict, tmp_path / "run")
    (made,) = [one for one in result.candidates if one.bundle]
    assert made.threshold is None
    assert "are the least" in made.no_threshold
    assert Store(tmp_path / "run" / "store").open("stripes-int8").manifest.abstain is None
    assert "are the least" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("tables", "reason"),
    [
        ({"abstain": {}}, "max_error or max_unknown"),
        ({"abstain": {"max_error": 1.0, "max_unknown": 1.0}}, "one of them"),
        ({"abstain": {"max_error": 0.0}}, "max_error"),
        ({"abstain": {"max_unknown": 100.0}}, "max_unknown"),
        ({"abstain": {"max_eror": 1.0}}, "max_error"),
        ({"abstain": {"max_error": 1.0}, "labelled": False}, "without labels"),
    ],
)
def test_what_can_not_be_asked_for_is_said(tmp_path: Path, tables: dict[str, Any], reason: str) -> None:
    with pytest.raises(RecipeError, match=reason):
        parse_optimize_recipe({**content(tmp_path), **tables})
