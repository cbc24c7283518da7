"""``docs/losses.md`` names every technique with its settings and their defaults, and nothing else."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from optimize.choice import Table
from optimize.training.losses import LOSSES
from optimize.training.optimisers import OPTIMISERS
from optimize.training.schedules import SCHEDULES
from optimize.training.teacher.options import TeacherOptions
from optimize.training.terms import TERMS

PAGE = (Path(__file__).parents[4] / "docs" / "losses.md").read_text(encoding="utf-8")
OWN_TERMS = ["soft_label", "dkd", "feature", "attention_transfer", "l1", "l2", "elastic_net"]
SHARED = {"warmup", "warmup_epochs", "warmup_start", "decoupled"}  # explained once for all

ENTRIES: list[tuple[Table[Any], str]] = [
    *((table, name) for table in (LOSSES, OPTIMISERS, SCHEDULES) for name in table),
    *((TERMS, name) for name in OWN_TERMS),
]


def row_of(name: str) -> str:
    found = [line for line in PAGE.splitlines() if line.startswith(f"| `{name}` |")]
    assert len(found) == 1, f"{name} has {len(found)} rows"
    return found[0]


@pytest.mark.parametrize(("table", "name"), ENTRIES, ids=[name for _, name in ENTRIES])
def test_every_setting_stands_in_its_row(table: Table[Any], name: str) -> None:
    cells = re.split(r"(?<!\\)\|", row_of(name))
    choice = table.choose(name)
    assert isinstance(choice, BaseModel)
    for key in type(choice).model_fields:
        if key in SHARED and not (name == "dkd" and key == "warmup"):
            assert f"`{key}`" in PAGE
        elif table is OPTIMISERS and key in ("lr", "weight_decay"):
            assert float(cells[2 if key == "lr" else 3]) == getattr(choice, key)
        else:
            settings = cells[4 if table is OPTIMISERS else 2]
            assert f"`{key}`" in settings
            assert_default(settings, key, getattr(choice, key))


def assert_default(settings: str, key: str, value: object) -> None:
    """``settings``: the cell that lists them."""
    said = re.search(rf'`{key}` ("\w+"|\[[^\]]*\]|[\w.+-]+)', settings)
    if value is None or value == ():
        return
    assert said, f"{key} has no default in: {settings}"
    if isinstance(value, bool):
        assert said[1] == str(value).lower()
    elif isinstance(value, str):
        assert said[1] == f'"{value}"'
    elif isinstance(value, tuple):
        assert tuple(map(float, said[1].strip("[]").split(","))) == value
    else:
        assert float(said[1]) == value


def test_what_a_teacher_takes_is_there() -> None:
    table = PAGE[PAGE.index("| `[teacher]` |") :]
    for key in TeacherOptions.model_fields:
        assert f"`{key}`" in table[: table.index("\n\n")]


def test_the_example_is_a_recipe() -> None:
    example = tomllib.loads(PAGE.split("```toml\n")[1].split("```")[0])
    for table, kind in ((LOSSES, "loss"), (TERMS, "term")):
        for entry in example[kind]:
            settings = {key: value for key, value in entry.items() if key not in ("name", "weight")}
            table.choose(entry["name"], settings)
    for table, kind in ((OPTIMISERS, "optimiser"), (SCHEDULES, "schedule")):
        table.choose(example[kind].pop("name"), example[kind])
    assert TeacherOptions.model_validate(example["teacher"]).source == "runs/large"
