"""The page and its drawings."""

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from optimize.search import plots
from optimize.search.report import drawings, render
from optimize.search.results import SearchResult, TrialResult
from optimize.search.run import run_search
from tests.optimize.search.fakes import LR, fake_tools, recipe_with


def trial(number: int, value: float | None, state: str = "complete", **more: object) -> TrialResult:
    parameters = {"optimiser.lr": 10.0 ** -(number % 5), "optimiser": {"name": ("sgd", "adamw")[number % 2]}}
    values = () if value is None else (value, 10.0 - number)
    found = {"reason": None, "epochs": {1: 0.1, 2: 0.2}, **more}
    return TrialResult(number=number, state=state, values=values, parameters=parameters, **found)  # type: ignore[arg-type]


def result(n: int = 6, objectives: tuple[str, ...] = ("val_top1", "latency_ms")) -> SearchResult:
    trials = [trial(k, 0.5 + 0.05 * k) for k in range(n)]
    trials.append(trial(n, 0.2, "pruned"))
    trials.append(trial(n + 1, None, "failed", reason="TrainingError: <the loss> is no number", epochs={}))
    importances = {"fanova": {"optimiser.lr": 0.7, "optimiser": 0.3}, "ped_anova": {"optimiser.lr": 1.0}}
    best = n - 1 if n else None
    return SearchResult(objectives, "tpe", tuple(trials), best, (0, n - 1) if n else (), importances if n else {})


def test_every_drawing_is_an_svg_that_stays_the_same() -> None:
    found, again = drawings(result()), drawings(result())
    assert [heading for heading, _, _ in found] == [
        "Course",
        "Learning curves",
        "Front",
        "Which field matters",
        "Each field by itself",
        "All fields together",
    ]
    assert found == again
    for _, _, drawing in found:
        assert ET.fromstring(drawing).tag.endswith("svg")


def test_the_page_stands_alone_and_says_what_failed() -> None:
    page = render(result())
    assert "TrainingError: &lt;the loss&gt; is no number" in page
    assert "Best: trial 5" in page
    assert "1 ended early, 1 failed" in page
    for outside in ("http://", "https://"):
        assert outside not in page


def test_a_page_of_nothing_says_so() -> None:
    page = render(result(0))
    assert "No trial is complete" in page


def test_one_objective_has_no_front() -> None:
    one = SearchResult(("val_loss",), "random", (trial(0, 0.5), trial(1, 0.4)), 1, (1,), {})
    headings = [heading for heading, _, _ in drawings(one)]
    assert "Front" not in headings
    assert "Which field matters" not in headings
    assert not plots.is_large_good(one)


@pytest.mark.parametrize("values", [(0.5,), (0.5, 0.5), (0.5, 0.5, 0.5)])
def test_trials_that_are_all_alike_are_drawn(values: tuple[float, ...]) -> None:
    trials = tuple(
        TrialResult(k, "complete", (value,), {"train.epochs": 3}, {3: value}, None) for k, value in enumerate(values)
    )
    page = render(SearchResult(("val_top1",), "random", trials, 0, (0,), {}))
    assert "Best: trial 0" in page


def test_a_search_writes_its_page_and_works_with_sqlite(tmp_path: Path) -> None:
    search = {"space": LR, "n_trials": 3, "pruner": "none", "sampler": "random"}
    run_search(recipe_with(search), tmp_path / "run", fake_tools())
    assert (tmp_path / "run/search.db").exists()
    assert "3 trials by the random sampler" in (tmp_path / "run/search.html").read_text()
