"""Several processes on one search; one of them is killed."""

from pathlib import Path

import pytest

from optimize.errors import RunError, TrainingError
from optimize.search.workers import search_together
from tests.optimize.search.fakes import LR, recipe_with


@pytest.mark.slow
def test_workers_share_the_trials_and_a_killed_one_is_made_up_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUICKEYE_TEST_MARK", str(tmp_path / "mark"))
    search = {"space": LR, "n_trials": 7, "pruner": "none", "sampler": "random", "workers": 2}
    recipe = recipe_with(search)
    tools = "tests.optimize.search.fakes:dying_tools"
    with pytest.raises(RunError, match="ended with code -9"):
        search_together(recipe, tmp_path / "run", tools=tools)
    result = search_together(recipe, tmp_path / "run", tools=tools)
    assert [one.number for one in result.trials] == list(range(7))
    assert {one.state for one in result.trials} == {"complete"}
    assert (tmp_path / "run/search.journal").exists()
    assert len(list((tmp_path / "run/trials").glob("0*"))) == 7
    assert (tmp_path / "mark").exists(), "a process was killed"


@pytest.mark.slow
def test_what_stops_the_workers_is_what_the_search_says(tmp_path: Path) -> None:
    search = {"space": LR, "n_trials": 50, "pruner": "none", "sampler": "random", "workers": 2}
    with pytest.raises(
        TrainingError, match=r"first \d+ trials all failed, the last because of TrainingError: no memory"
    ):
        search_together(recipe_with(search), tmp_path / "run", tools="tests.optimize.search.fakes:failing_tools")
    assert "no memory" in (tmp_path / "run/search.html").read_text()
