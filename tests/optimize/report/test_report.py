"""The report: whole, self-contained, safe with strangers' words, and short in words where a run lacks something."""

import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from optimize.errors import RunError
from optimize.judging.judge import judge
from optimize.judging.predictions import Predictions
from optimize.judging.run_judgement import judge_run
from optimize.report.confusion import MOST, WORST, view
from optimize.report.write import write_report
from optimize.training.run_folder import RunFolder
from tests.optimize.judging.invented import named, predictions
from tests.optimize.report.run_folders import whole_run

HOSTILE = ("<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "$x^2$ {{ 7*7 }}", "\u202eetihw", "衣服")
VOID = {"meta", "img", "br", "hr", "link", "input", "path", "rect", "use", "circle"}


class Page(HTMLParser):
    """Tags, attributes and text of a page; whether every element that opens closes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def values(self, name: str) -> list[str]:
        return [value or "" for key, value in self.attributes if key == name]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return whole_run(tmp_path_factory.mktemp("run") / "garments-run")


@pytest.fixture(scope="module")
def page(run: RunFolder) -> Page:
    return Page(write_report(run).read_text(encoding="utf-8"))


def test_every_part_of_a_run_is_there(page: Page) -> None:
    wanted = [
        "garments", "Learning", "Data", "Class by class", "What is taken for what", "Ranking", "Calibration",
        "Worst mistakes", "When pictures get worse", "Do it again", "quickeye train", "4.6 MB", "7.2 ms", "2.0 minutes",
        "class 1 is rare", "broken<b>.jpg: it ends in the middle", "gaussian noise", "pretrained",
        "2 threads of a CPU", "T = 1.30 is folded into the bundle's last layer",
        "20 more of the worst 24 are not shown",
    ]  # fmt: skip
    assert [part for part in wanted if part not in page.text] == []
    plots = set(page.values("aria-label"))
    assert {"loss", "top1", "lr", "ece", "roc", "pr", "reliability", "robustness", "confusion matrix"} <= plots
    assert page.open == []


def test_it_loads_nothing_and_runs_nothing(run: RunFolder, page: Page) -> None:
    assert "script" not in page.tags
    assert all(source.startswith("data:image/") for source in page.values("src"))
    assert all(link.startswith("#") for link in page.values("href"))
    assert not re.search(r"https?:|@import|url\((?!#)", run.report.read_text(encoding="utf-8"))
    policy = page.values("content")
    assert any("default-src 'none'" in one for one in policy)


def test_ids_are_the_page_s_own_and_each_link_leads_somewhere(page: Page) -> None:
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    assert {link.removeprefix("#") for link in page.values("href")} <= set(ids)


def test_the_same_folder_gives_the_same_bytes(run: RunFolder) -> None:
    assert write_report(run).read_bytes() == write_report(run).read_bytes()


def test_strangers_names_are_text(tmp_path: Path) -> None:
    folder = whole_run(tmp_path / "run", classes=len(HOSTILE), names=HOSTILE)
    folder.recipe.write_text('name = "</title><script>x</script>"\n', encoding="utf-8")
    page = Page(write_report(folder).read_text(encoding="utf-8"))
    assert "script" not in page.tags
    assert "onerror" not in [name for name, _ in page.attributes]
    assert "<script>alert(1)</script>" in page.text
    assert "$x^2$ {{ 7*7 }}" in page.text
    assert "\u202e" not in page.text
    assert page.open == []


SURE = named(np.eye(3)[np.arange(150) % 3], np.arange(150) % 3)


@pytest.mark.parametrize(
    ("answers", "temperature", "said"),
    [
        ({"val": predictions(60, 3), "test": predictions(60, 3)}, 1.0, "No temperature was fitted"),
        ({"val": SURE}, 1.0, "The temperature was fitted on these pictures, cross-fitted"),
        ({"val": predictions(200, 3)}, None, "The temperature was fitted on these pictures, cross-fitted"),
    ],
    ids=["few validation pictures", "all right", "cross-validation"],
)
def test_a_temperature_that_no_bundle_has_is_not_said_to_be_folded(
    tmp_path: Path, answers: dict[str, Predictions], temperature: float | None, said: str
) -> None:
    judge_run(RunFolder(tmp_path), answers, seed=0, temperature=temperature)
    page = Page(write_report(RunFolder(tmp_path)).read_text(encoding="utf-8"))
    assert said in page.text
    assert "folded" not in page.text


PARTS = ("recipe", "metrics", "times", "data", "judgement", "latency", "mistakes")
SAID = {
    "metrics": "No epoch has ended yet",
    "data": "data.json is not there",
    "judgement": "Nothing was judged",
    "latency": "Latency was not measured",
    "mistakes": "The pictures are not at hand",
}


@pytest.mark.parametrize("absent", PARTS)
def test_what_a_run_lacks_is_said(run: RunFolder, tmp_path: Path, absent: str) -> None:
    folder = RunFolder(Path(shutil.copytree(run.root, tmp_path / "run")))
    getattr(folder, absent).unlink()
    page = Page(write_report(folder).read_text(encoding="utf-8"))
    assert SAID.get(absent, "") in page.text
    assert page.open == []


@pytest.mark.parametrize("broken", ["recipe", "metrics", "data", "judgement", "latency", "mistakes"])
@pytest.mark.parametrize("content", [b"{}", b"\xff\xfe,\n1,2"])
def test_a_broken_part_is_left_out_and_the_rest_told(
    run: RunFolder, tmp_path: Path, broken: str, content: bytes
) -> None:
    folder = RunFolder(Path(shutil.copytree(run.root, tmp_path / "run")))
    getattr(folder, broken).write_bytes(content)
    page = Page(write_report(folder).read_text(encoding="utf-8"))
    assert "Do it again" in page.text


def test_predictions_are_judged_where_no_judgement_was_written(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.recipe.write_text('name = "early"\n', encoding="utf-8")
    some = predictions(100, 4)
    some.save(folder.predictions("val"))
    page = Page(write_report(folder).read_text(encoding="utf-8"))
    right = (some.logits.argmax(axis=1) == some.labels).mean()
    assert f"{100 * right:.1f} % of 100 validation pictures are right" in page.text
    assert "There was no test set" in page.text


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="holds no run"):
        write_report(RunFolder(tmp_path))


@pytest.mark.parametrize("classes", [2, 10, 30, 100, MOST + 1])
def test_the_confusion_matrix_has_every_count_or_says_what_it_leaves_out(classes: int) -> None:
    judgement = judge(predictions(3000, classes, skill=1.0), seed=0, rounds=2)
    drawn = view(judgement)
    if classes <= MOST:
        assert sum(cell.count for cell in drawn.cells) == 3000
        assert drawn.left_out == ""
    else:
        assert len(drawn.columns) < classes
        assert "most mistakes" in drawn.left_out
    # A page is 1,080 px wide at most; more scrolls.
    assert drawn.left_px + drawn.cell_px * len(drawn.columns) < 1500
    assert drawn.font_px >= 8


def test_many_classes_that_take_the_pictures_of_others_and_have_none_can_be_drawn() -> None:
    """Two pictures of each of 200 classes, called so by 100 classes without one: these have most mistakes."""
    labels = np.repeat(np.arange(200), 2)
    judgement = judge(named(np.eye(300)[200 + np.arange(400) % 100], labels), seed=0, rounds=2)
    drawn = view(judgement)
    assert len(drawn.rows) == len(drawn.columns) == WORST
    assert {int(name.removeprefix("class ")) < 200 for name in drawn.rows} == {True}
    assert {int(name.removeprefix("class ")) < 200 for name in drawn.columns} == {False}
    assert drawn.cells
    assert "of 300 classes, the rows are the 60 with most mistakes" in drawn.left_out
    assert drawn.left_px > 0


def test_rows_are_only_classes_that_have_pictures() -> None:
    some = predictions(300, 8, skill=1.0)
    drawn = view(judge(some.chosen((some.labels < 3).nonzero()[0]), seed=0, rounds=2))
    assert drawn.rows == ("class 0", "class 1", "class 2")
    assert len(drawn.columns) == 8
    right = [cell for cell in drawn.cells if cell.is_right]
    assert all(drawn.rows[cell.row] == drawn.columns[cell.column] for cell in right)
