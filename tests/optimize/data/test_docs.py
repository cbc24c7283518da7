"""docs/training-data.md and the code say the same."""

import re
import tomllib
from pathlib import Path

import pytest

from optimize.data.dataset import Task
from optimize.data.leaks import CONFLICTS_UP_TO
from optimize.data.look_alikes import NEAR_LEVELS, SIDE
from optimize.data.options import DataOptions
from optimize.data.picture_files import LIMITS
from optimize.data.read import read_data
from optimize.data.report import DataReport
from tests.optimize.data.sets_on_disk import save

PAGE = (Path(__file__).parents[3] / "docs" / "training-data.md").read_text()
SETTINGS = PAGE[PAGE.index("## Settings") :]


@pytest.mark.parametrize("name", DataOptions.model_fields)
def test_every_setting_is_in_the_table(name: str) -> None:
    assert f"`{name}`" in SETTINGS


def test_the_defaults_in_the_table_are_the_codes() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\S+) \|", SETTINGS, re.MULTILINE)
    written = {name: tomllib.loads(f"value = {default.strip('`')}")["value"] for name, default in rows}
    assert len(written) > 10
    assert written == {name: DataOptions.model_fields[name].default for name in written}


@pytest.mark.parametrize("name", DataReport.__dataclass_fields__)
def test_every_part_of_the_report_is_told(name: str) -> None:
    assert name in PAGE


def test_the_numbers_on_the_page_are_the_codes() -> None:
    assert f"shrunk to {SIDE} × {SIDE} grey" in PAGE
    assert f"at most {NEAR_LEVELS:g} of 255" in PAGE
    assert f"up to {CONFLICTS_UP_TO:,} training pictures" in PAGE
    assert f"up to {LIMITS.max_bytes // 2**20} MiB and {LIMITS.max_pixels // 10**6} million pixels" in PAGE


def test_the_manifest_on_the_page_is_read(tmp_path: Path) -> None:
    blocks = dict(re.findall(r"```(csv|toml)\n(.*?)```", PAGE, re.DOTALL))
    (tmp_path / "list.csv").write_text(blocks["csv"])
    for number in range(1, 5):
        save(tmp_path / "photos" / f"{number}.jpg", number)
    settings = {**tomllib.loads(blocks["toml"])["data"], "missing_from_val": "report"}
    data = read_data(DataOptions.model_validate(settings), 1, folder=tmp_path)
    assert data.train.tasks == (Task("kind", ("dress", "hat")), Task("shade", ("blue", "red")))
    assert data.report.pictures == {"train": 2, "val": 2}
