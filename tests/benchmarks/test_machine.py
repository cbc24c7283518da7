"""What a benchmark says of the machine that it ran on."""

from pathlib import Path

import pytest

from benchmarks import machine


def test_time_that_other_machines_took_is_read_from_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = iter(["cpu 100 0 100 700 0 0 50 50 20 0", "cpu 150 0 150 750 0 0 50 100 70 0"])  # guests are in user time
    monkeypatch.setattr(Path, "read_text", lambda _: f"{next(lines)}\ncpu0 1 2 3\n")
    monkeypatch.setattr(machine.os, "sysconf", lambda _: 100)
    before, after = machine.taken_s(), machine.taken_s()
    assert before == (0.5, 10.0)
    assert machine.taken_share(before, after) == pytest.approx(0.25)


@pytest.mark.parametrize("text", ["", "cpu", "cpu 1 2 three 4 5 6 7 8"])
def test_where_nothing_is_known_nothing_is_said_to_be_taken(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(Path, "read_text", lambda _: text)
    assert machine.taken_share(machine.taken_s(), machine.taken_s()) == 0.0
