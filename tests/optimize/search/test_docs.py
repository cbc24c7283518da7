"""docs/search-and-ensembles.md names everything that a recipe can say here."""

from pathlib import Path

import pytest
from pydantic import BaseModel

from optimize.choice import Table
from optimize.ensembles import ENSEMBLES
from optimize.search import PRUNERS, SAMPLERS
from optimize.search.options import SearchOptions, Span
from optimize.training.cross_validation import CrossValidationOptions

TEXT = (Path(__file__).parents[3] / "docs" / "search-and-ensembles.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("options", [SearchOptions, Span, CrossValidationOptions])
def test_every_field_is_explained(options: type[BaseModel]) -> None:
    assert [name for name in options.model_fields if f"`{name}`" not in TEXT and f"`{name} =" not in TEXT] == []


@pytest.mark.parametrize("table", [SAMPLERS, PRUNERS, ENSEMBLES], ids=lambda table: table.kind)
def test_every_entry_has_a_row_with_its_settings_and_defaults(table: Table[object]) -> None:
    for name in table:
        row = next(line for line in TEXT.splitlines() if line.startswith(f"| `{name}` |"))
        chosen = table.find(name)
        assert issubclass(chosen, BaseModel)
        for setting, field in chosen.model_fields.items():
            assert f"`{setting}`" in row, f"{name}: {setting}"
            default = field.get_default()
            if isinstance(default, bool):
                assert f"`{setting}` {str(default).lower()}" in row
            elif isinstance(default, int | float | str):
                said = f'"{default}"' if isinstance(default, str) else str(default)
                assert f"`{setting}` {said}" in row, f"{name}: {setting} = {said}"
