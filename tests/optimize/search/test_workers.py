"""Several processes on one search; one of them is killed."""

from pathlib import Path

import pytest

from optimize.errors import RunError
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
