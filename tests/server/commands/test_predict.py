"""On a real engine and a model whose answers are plain: is a picture red, green or blue?"""

import json
import math
import os
from pathlib import Path

import pytest
from PIL import Image

from server.commands.predict import main
from tests.server.mean_colour import write_mean_colour

COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("store")
    write_mean_colour(root)
    return root


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QUICKEYE_STORE", raising=False)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    (folder / "deep").mkdir(parents=True)
    for name, colour in COLOURS.items():
        Image.new("RGB", (20, 12), colour).save(folder / f"{name}.png")
    Image.new("RGB", (30, 40), COLOURS["green"]).save(folder / "deep" / "leaf.jpg", quality=95)
    return folder


def predict(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    code = main([str(word) for word in words])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_a_folder_is_classified_in_order_and_aligned(
    store: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = predict(capsys, pictures, "--store", store, "--top-k", 1)
    assert (code, err) == (0, "")
    rows = [line.split() for line in out.splitlines()]
    assert [(Path(row[0]).name, row[-1]) for row in rows] == [
        ("blue.png", "blue"),
        ("green.png", "green"),
        ("red.png", "red"),
    ]
    assert len({line.index("%") for line in out.splitlines()}) == 1


def test_scores_are_the_softmax_of_the_logits(store: Path, pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = predict(capsys, pictures / "red.png", "--store", store, "--json")
    (found,) = json.loads(out)
    share = math.exp(255 / 16) / (math.exp(255 / 16) + 2)
    assert code == 0
    assert found["file"] == str(pictures / "red.png")
    assert (found["width"], found["height"], found["error"]) == (20, 12, None)
    assert [one["label"] for one in found["predictions"]] == ["red", "green", "blue"]  # equal ones: lower index first
    assert [one["index"] for one in found["predictions"]] == [0, 1, 2]
    assert found["predictions"][0]["score"] == pytest.approx(share, rel=1e-4)
    assert found["predictions"][1]["score"] == pytest.approx((1 - share) / 2, rel=1e-2)


def test_every_class_has_a_row_and_the_name_comes_once(
    store: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, out, _ = predict(capsys, pictures / "blue.png", "--store", store, "--top-k", 2)
    first, second = out.splitlines()
    assert first.startswith(str(pictures / "blue.png"))
    assert first.endswith("  blue")
    assert second.split() == ["0.00%", "red"]


def test_folders_inside_only_when_asked(store: Path, pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, flat, _ = predict(capsys, pictures, "--store", store, "--json")
    _, deep, _ = predict(capsys, pictures, "--store", store, "--json", "--recursive")
    assert len(json.loads(flat)) == 3
    leaf = [one for one in json.loads(deep) if one["file"].endswith("leaf.jpg")]
    assert [one["predictions"][0]["label"] for one in leaf] == ["green"]


def test_bad_files_fail_alone(store: Path, pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (pictures / "empty.png").touch()
    (pictures / "page.jpg").write_text("<html>")
    (pictures / "half.png").write_bytes((pictures / "red.png").read_bytes()[:45])
    code, out, err = predict(capsys, pictures, "--store", store, "--json", "--top-k", 1)
    found = {Path(one["file"]).name: one for one in json.loads(out)}
    assert code == 1
    assert list(found) == sorted(found)
    assert {name for name, one in found.items() if one["error"]} == {"empty.png", "page.jpg", "half.png"}
    for name in ("empty.png", "page.jpg", "half.png"):
        assert found[name]["error"]["code"] == "undecodable_image"
        assert found[name]["error"]["message"] in err
        assert found[name]["predictions"] == []
    assert found["red.png"]["predictions"][0]["label"] == "red"
    assert err.count("quickeye predict: ") == 3


def test_bad_files_do_not_stop_the_text_either(store: Path, pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (pictures / "a_first.png").write_bytes(b"nothing")
    code, out, err = predict(capsys, pictures, "--store", store, "--top-k", 1)
    assert code == 1
    assert len(out.splitlines()) == 3
    assert "a_first.png" in err
    assert "(undecodable_image)" in err


def test_absent_files_and_empty_folders_are_said(
    store: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    words = (tmp_path / "absent.jpg", empty, pictures / "red.png")
    code, out, err = predict(capsys, *words, "--store", store, "--json")
    absent, nothing, red = json.loads(out)
    assert code == 1
    assert absent["error"]["code"] == "unreadable_file"
    assert nothing["error"]["code"] == "no_pictures"
    assert "--recursive" in nothing["error"]["message"]
    assert red["error"] is None
    assert "no such file or folder" in err


def test_a_file_longer_than_the_limit_is_refused_unread(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    huge = tmp_path / "huge.jpg"
    huge.touch()
    os.truncate(huge, 2**36)  # sparse: takes no space, and no memory here
    code, out, _ = predict(capsys, huge, "--store", store, "--json")
    assert code == 1
    assert json.loads(out)[0]["error"]["code"] == "image_too_large"


def test_more_files_than_wait_at_once_keep_their_order(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = list(COLOURS)
    for number in range(60):
        Image.new("RGB", (9, 9), COLOURS[names[number % 3]]).save(tmp_path / f"{number:03}.png")
    code, out, _ = predict(capsys, tmp_path, "--store", store, "--json", "--top-k", 1)
    assert code == 0
    assert [one["predictions"][0]["label"] for one in json.loads(out)] == names * 20


def test_a_name_that_could_confuse_a_terminal_is_shown_harmless(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("RGB", (9, 9), COLOURS["red"]).save(tmp_path / "a\x1b[31m\n.png")
    _, out, _ = predict(capsys, tmp_path, "--store", store, "--top-k", 1)
    assert len(out.splitlines()) == 1
    assert "\x1b" not in out


def test_a_misspelt_model_name_is_answered_with_a_near_one(
    store: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = predict(capsys, pictures, "--store", store, "--model", "mean_color")
    assert code == 1
    assert "did you mean 'mean_colour'" in err


def test_several_models_must_be_chosen_from(pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "store"
    write_mean_colour(root, "one")
    write_mean_colour(root, "two")
    code, _, err = predict(capsys, pictures, "--store", root)
    assert code == 1
    assert "there are one, two: choose with --model" in err
    code, out, _ = predict(capsys, pictures / "red.png", "--store", root, "--model", "two/1", "--json")
    assert code == 0
    assert json.loads(out)[0]["predictions"][0]["label"] == "red"


def test_the_store_can_come_from_the_environment(
    store: Path, pictures: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUICKEYE_STORE", str(store))
    code, out, _ = predict(capsys, pictures / "red.png", "--json")
    assert code == 0
    assert json.loads(out)[0]["predictions"][0]["label"] == "red"


def test_a_broken_bundle_fails_with_its_reason(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = write_mean_colour(tmp_path / "store")
    (bundle.folder / "labels.txt").write_text("red\ngreen\ngrue\n")
    code, out, err = predict(capsys, pictures, "--store", tmp_path / "store")
    assert (code, out) == (1, "")
    assert "labels.txt" in err


@pytest.mark.parametrize("words", [["--top-k", "0"], ["--top-k", "nan"], ["--backend", "abacus"]])
def test_bad_flags_are_usage_errors(store: Path, pictures: Path, words: list[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([str(pictures), "--store", str(store), *words])
    assert stopped.value.code == 2
