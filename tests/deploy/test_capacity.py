"""deploy/capacity.md has the tables that its kept times give; machines are counted as its text says."""

import math
import re
from typing import Any

import pytest

from benchmarks.capacity import NOTHING, PAGE, TIMES, in_page, kept, tables
from server.planning import search
from server.planning.from_file import as_json
from tests.server.planning.measured_times import times


def rows_of(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith("|") and not line.startswith("|---")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def asked(load: float) -> dict[str, Any]:
    measured = times({1: 0.010, 2: 0.019}, request_s=0.0005, added_s=0.001)
    what = {"cores": [2, 4], "p99_ms": [5, 50], "rates": [100, 500]}
    return {"load_1min": load, "pictures": "4 pictures", "asked": what, "measured": as_json(measured)}


@pytest.mark.slow
def test_the_page_has_the_tables_of_its_times() -> None:
    assert in_page(PAGE.read_text(encoding="utf-8")) == (tables(kept()) if TIMES.exists() else NOTHING)


def test_machines_are_enough_for_the_rate_and_a_fifth(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "SEARCHED_REQUESTS", 1_000)
    first, *rows = rows_of(tables(asked(load=0.1)))
    assert first == ["cores", "99 in 100 within 5 ms", "99 in 100 within 50 ms", "ends first"]
    largest = {row[0]: float(row[2].removesuffix("/s")) for row in rows[:2]}
    assert largest["4"] > largest["2"] > 100
    assert [row[1] for row in rows[:2]] == ["not met", "not met"], "a picture alone takes 11 ms"
    for wanted_and_cores, impossible, machines in rows[3:]:
        wanted, cores = wanted_and_cores.split(", ")
        assert impossible == "not met"
        assert int(machines) == pytest.approx(math.ceil(float(wanted) * 1.2 / largest[cores]), abs=1)
        assert int(machines) * largest[cores] >= float(wanted) * 1.2 * 0.99


@pytest.mark.parametrize(("load", "said"), [(0.1, False), (5.0, True)])
def test_a_busy_machine_s_figures_are_called_provisional(
    load: float, said: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "SEARCHED_REQUESTS", 200)
    assert bool(re.match(r"\*\*Provisional", tables(asked(load)))) is said
