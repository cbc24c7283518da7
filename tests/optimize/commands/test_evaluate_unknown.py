"""``quickeye evaluate --max-error … --save``: the next version of a bundle, which says ``unknown``."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model_zoo.store import Store
from optimize.commands.evaluate import main
from tests.optimize.commands.colour_bundle import COLOURS, colour_bundle

Output = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """160 pictures: three in four plainly of their colour, the others greyish ones of which half are misnamed."""
    root = tmp_path_factory.mktemp("data") / "cards"
    names = list(COLOURS)
    generator = np.random.default_rng(0)
    for name in names:
        (root / name).mkdir(parents=True)
    for place in range(160):
        name = names[place % 3]
        pixel = np.array(COLOURS[name]) - place // 4
        if place % 4 == 0:
            pixel = 120 + generator.integers(0, 8, 3)
        Image.new("RGB", (20, 24), tuple(int(max(0, value)) for value in pixel)).save(root / name / f"{place}.png")
    return root


def run(store: Path, data: Path, *words: object) -> int:
    try:
        return main(["colours", "--store", str(store), "--data", str(data), "--no-latency", *map(str, words)])
    except SystemExit as ended:
        return int(ended.code or 0)


def test_the_next_version_has_the_threshold_and_the_same_model(tmp_path: Path, data: Path, capsys: Output) -> None:
    first = colour_bundle(tmp_path)
    assert run(tmp_path, data, "--max-error", 5, "--save", "--json") == 0
    said = capsys.readouterr()
    found = json.loads(said.out)["threshold"]
    assert (found["promise"], found["limit"], found["n"]) == ("max_error", 0.05, 160)
    assert 0.6 < found["answered"] <= 0.8, "the greyish ones are left out"
    assert found["error"] <= 0.05
    second = Store(tmp_path).open("colours")
    assert str(second.folder) in said.err
    assert (second.spec.version, second.spec.parent) == (2, "colours/1")
    assert second.manifest.abstain is not None
    assert second.manifest.abstain.threshold == found["value"]
    assert second.manifest.abstain.dataset == "cards"
    assert second.read_model() == first.read_model()
    assert second.read("check.npz") == first.read("check.npz")
    assert "## Unknown" in second.read("CARD.md").decode()
    assert Store(tmp_path).open("colours", 1).manifest.schema_number == 1
    assert run(tmp_path, data, "--json") == 0
    told = json.loads(capsys.readouterr().out)["abstained"]
    assert (told["answered"], told["error"]) == (found["answered"], found["error"])
    assert run(tmp_path, data, "--max-error", 6, "--save") == 0
    card = Store(tmp_path).open("colours").read("CARD.md").decode()
    assert card.count("## Unknown") == 1, "the old threshold's words are gone"
    assert "at most 6 %" in card
    assert "at most 5 %" not in card


def test_without_save_it_is_told_alone(tmp_path: Path, data: Path, capsys: Output) -> None:
    colour_bundle(tmp_path)
    assert run(tmp_path, data, "--max-unknown", 30) == 0
    assert "at most 30 % of the pictures are unknown, with 95 % confidence" in capsys.readouterr().out
    assert Store(tmp_path).versions("colours") == [1]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--max-error", "1"], "459 are the least"),
        (["--max-unknown", "1"], "299 are the least"),
    ],
)
def test_what_can_not_be_promised_is_said_and_nothing_written(
    tmp_path: Path, data: Path, capsys: Output, words: list[str], reason: str
) -> None:
    colour_bundle(tmp_path)
    assert run(tmp_path, data, *words, "--save", "--json") == 1
    said = capsys.readouterr()
    assert reason in said.err
    assert json.loads(said.out)["n"] == 160, "what else was found is told"
    assert Store(tmp_path).versions("colours") == [1]


def test_an_older_version_gets_no_next_one(tmp_path: Path, data: Path, capsys: Output) -> None:
    """It would be taken for the newest model."""
    for _ in range(2):
        colour_bundle(tmp_path)
    words = ["colours/1", "--store", str(tmp_path), "--data", str(data), "--max-unknown", "30", "--save"]
    assert main(words) == 1
    assert "evaluate colours/2" in capsys.readouterr().err
    assert Store(tmp_path).versions("colours") == [1, 2]


def test_the_shipped_bundles_are_left_alone(data: Path, capsys: Output) -> None:
    assert main(["efficientnet_lite0", "--data", str(data), "--max-error", "5", "--save"]) == 1
    assert "read-only" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--max-error", "0"], "is not a share in per cent"),
        (["--max-error", "100"], "is not a share in per cent"),
        (["--max-unknown", "nan"], "is not a share in per cent"),
        (["--max-error", "1e-15"], "is not a share in per cent"),
        (["--max-unknown", "few"], "is not a share in per cent"),
        (["--max-error", "5", "--max-unknown", "5"], "one of them"),
        (["--save"], "--max-error PERCENT"),
    ],
)
def test_wrong_usage_is_two(tmp_path: Path, capsys: Output, words: list[str], reason: str) -> None:
    assert run(tmp_path, tmp_path, *words) == 2
    assert reason in capsys.readouterr().err
