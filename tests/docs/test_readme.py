"""The README shows two commands; CI runs the second, and what the first prints is what the README says."""

import re
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from model_zoo.store import shipped_store
from server.commands.serve_store import welcome
from tests.docs.pages import PAGES, ROOT, on_page

MAKEFILE = (ROOT / "Makefile").read_text()


def consoles() -> list[list[str]]:
    return [example.commands for example in on_page(PAGES[0]) if example.language == "console"]


def test_the_two_commands_come_first() -> None:
    assert consoles()[0] == ["make serve", "make test"]


def test_both_are_targets() -> None:
    assert all(re.search(rf"^{command.split()[1]}:", MAKEFILE, re.MULTILINE) for command in consoles()[0])


def test_ci_runs_the_second_and_no_other() -> None:
    lines = [line.strip() for line in (ROOT / ".ci" / "run").read_text().splitlines()]
    assert [line for line in lines if line.startswith("make")] == ["make test"]


def test_the_curl_line_is_the_one_that_the_server_prints(capsys: pytest.CaptureFixture[str]) -> None:
    app: Any = SimpleNamespace(service=SimpleNamespace(catalogue=SimpleNamespace(served=list)))
    welcome(app, "127.0.0.1", 8000)
    (curl,) = consoles()[1]
    assert curl in capsys.readouterr().err


def test_its_accuracy_is_the_shipped_bundle_s() -> None:
    table = [line for line in PAGES[0].read_text().splitlines() if line.startswith("|")]
    for entry in shipped_store().open("efficientnet_lite0", verify=False).manifest.accuracy:
        figure, count = f"{entry.value:.1%}".replace("%", " %"), round(entry.value * entry.n)
        assert any(figure in line and f"{count} of {entry.n}" in line for line in table), f"{entry.metric}: {figure}"


def test_the_picture_is_there_and_is_a_page_s_size() -> None:
    (named,) = re.findall(r"!\[[^]]+\]\(([^)]+)\)", PAGES[0].read_text())
    with Image.open(ROOT / named) as picture:
        assert min(picture.size) > 600
