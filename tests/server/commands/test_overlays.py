"""``quickeye predict --explain DIR``: each picture with its map over it."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from server.commands.predict import main
from tests.server.fake_bundles import MeanColour


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """One model, with maps of 4 × 4 cells' brightness."""
    MeanColour(name="mapped", maps=True).write(tmp_path / "store")
    return tmp_path / "store"


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Two pictures of one name, half white: the left of one, the right of the other; and a broken one."""
    folder = tmp_path / "pictures"
    for name, half in (("a", slice(0, 48)), ("b", slice(48, 96))):
        pixels = np.zeros((64, 96, 3), np.uint8)
        pixels[:, half] = 255
        (folder / name).mkdir(parents=True)
        Image.fromarray(pixels).save(folder / name / "photo.png")
    (folder / "a" / "broken.png").write_bytes(b"not a picture")
    return folder


def reddest_column(file: Path) -> float:
    """Where the red of an overlay has its centre, as a share of the width."""
    with Image.open(file) as image:
        pixels = np.asarray(image.convert("RGB")).astype(np.float64)
    red = np.clip(pixels[:, :, 0] - pixels[:, :, 1] - 20, 0, None).sum(axis=0)
    return float((red * np.arange(len(red))).sum() / red.sum() / len(red))


def test_pictures_of_one_name_are_written_side_by_side(
    store: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "deep" / "explained"
    words = [str(pictures), "--recursive", "--store", str(store), "--backend", "onnxruntime", "--json"]
    assert main([*words, "--explain", str(out)]) == 1
    said = capsys.readouterr()
    broken, first, second = json.loads(said.out)
    assert "overlay" not in broken
    assert "broken.png" in said.err
    assert [first["overlay"], second["overlay"]] == [
        str(out / "photo.explained.jpg"),
        str(out / "photo.explained-2.jpg"),
    ]
    assert reddest_column(out / "photo.explained.jpg") < 0.4
    assert reddest_column(out / "photo.explained-2.jpg") > 0.6
    with Image.open(out / "photo.explained.jpg") as image:
        assert image.size == (96, 64)


def test_without_the_flag_nothing_is_written(
    store: Path, pictures: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    file = pictures / "a" / "photo.png"
    assert main([str(file), "--store", str(store), "--backend", "onnxruntime", "--json"]) == 0
    assert "overlay" not in json.loads(capsys.readouterr().out)[0]
    assert sorted(tmp_path.rglob("*")) == before


def test_a_model_without_maps_says_so_before_any_picture(
    tmp_path: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    MeanColour(name="plain").write(tmp_path / "plain_store")
    out = tmp_path / "explained"
    assert main([str(pictures), "--store", str(tmp_path / "plain_store"), "--explain", str(out)]) == 1
    assert "'plain' version 1 offers no explanation" in capsys.readouterr().err
    assert not out.exists()


def test_a_folder_that_can_not_be_made_is_a_failure(
    store: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("in the way")
    assert main([str(pictures), "--store", str(store), "--explain", str(tmp_path / "file" / "explained")]) == 1
    assert str(tmp_path / "file") in capsys.readouterr().err


def test_a_picture_that_can_not_be_written_is_said_and_the_others_go_on(
    store: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "explained"
    (out / "photo.explained.jpg").mkdir(parents=True)
    words = [str(pictures), "--recursive", "--store", str(store), "--backend", "onnxruntime", "--top-k", "1"]
    assert main([*words, "--explain", str(out)]) == 1
    assert "unwritable_overlay" in capsys.readouterr().err
    assert (out / "photo.explained-2.jpg").is_file()
