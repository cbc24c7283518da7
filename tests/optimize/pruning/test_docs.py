"""docs/pruning.md names everything, and its example runs."""

import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from model_zoo.export import Provenance, export_bundle
from model_zoo.store import Store
from optimize.pruning import CRITERIA
from optimize.pruning.options import PruneOptions
from optimize.training.recipe_entries import Entry
from tests.optimize.pruning.nets import zoo_network

TEXT = (Path(__file__).parents[3] / "docs" / "pruning.md").read_text(encoding="utf-8")


def test_every_option_and_criterion_has_a_row() -> None:
    rows = [line.split("`")[1] for line in TEXT.splitlines() if line.startswith("| `")]
    assert rows == [*PruneOptions.model_fields, *CRITERIA]


@pytest.mark.parametrize("name", list(CRITERIA))
def test_every_setting_of_a_criterion_is_in_its_row_with_its_default(name: str) -> None:
    row = next(line for line in TEXT.splitlines() if line.startswith(f"| `{name}` |"))
    chosen = CRITERIA.choose(name)
    assert isinstance(chosen, BaseModel)
    for setting, value in chosen:
        assert f'`{setting}` "{value.name if isinstance(value, Entry) else value}"' in row


def test_the_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    network = zoo_network("grey28_wide")
    export_bundle(
        network.module,
        name="fashion_mnist",
        store=tmp_path / "runs",
        spec=network.spec,
        labels=network.tasks[0].classes,
        provenance=Provenance(licence="CC0-1.0", source="a test"),
        architecture=network.architecture,
    )
    found = re.search(r"```python\n(.*?)```", TEXT, re.DOTALL)
    assert found is not None
    monkeypatch.chdir(tmp_path)

    exec(compile(found[1], "docs/pruning.md", "exec"), {})

    assert re.match(r"\d\d\.\d% of the multiply-adds, \d\d\.\d% of the parameters are left", capsys.readouterr().out)
    assert Store(tmp_path / "store").open("narrow").spec.architecture is not None
