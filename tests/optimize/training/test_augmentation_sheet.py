"""The sheet: what is on it, and where."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from optimize.errors import DataError, RunError
from optimize.training.augmentation_sheet import write_sheet, write_sheet_of
from optimize.training.augmentations import AUGMENTATIONS, MIXES
from optimize.training.augmentations.flip import Flip
from optimize.training.augmentations.grey import Grey
from optimize.training.augmentations.pipeline import Pipeline
from tests.optimize.training.augmentations.drawing import bytes_of, pictures
from tests.optimize.training.small_runs import small_recipe, write_stripes

LABELS = ["shoe", "a coat of some length"]


def photos(size: int = 120, channels: int = 3) -> np.ndarray:  # type: ignore[type-arg]
    return bytes_of(pictures(2, channels, size)).permute(0, 2, 3, 1).numpy()


def read(file: Path) -> np.ndarray:  # type: ignore[type-arg]
    with Image.open(file) as image:
        return np.asarray(image.convert("RGB"))


def find(sheet: np.ndarray, picture: np.ndarray) -> list[tuple[int, int]]:  # type: ignore[type-arg]
    """Where on the sheet the picture is, pixel by pixel."""
    corner = (sheet[: -len(picture), : -picture.shape[1]] == picture[0, 0]).all(2)
    places = zip(*np.nonzero(corner), strict=True)
    high, wide = picture.shape[:2]
    return [(int(y), int(x)) for y, x in places if np.array_equal(sheet[y : y + high, x : x + wide], picture)]


def test_originals_and_what_becomes_of_them(tmp_path: Path) -> None:
    """A sure mirror and a sure grey: each tile can be foretold."""
    batch = photos()
    file = tmp_path / "new" / "sheet.png"
    write_sheet(file, batch, LABELS, Pipeline([Flip(horizontal=1.0), Grey(probability=0.1)]), repeats=2)
    sheet = read(file)
    first, second = find(sheet, batch[0]), find(sheet, batch[1])
    assert len(first) == len(second) == 1
    assert first[0][1] == second[0][1]
    assert second[0][0] > first[0][0] + 119
    (top, left), *others = sorted(find(sheet, batch[0][:, ::-1]), key=lambda place: place[1])
    assert top == first[0][0]
    assert left > first[0][1]
    assert len(others) >= 1
    tile = sheet[top : top + 120, others[0][1] :]
    assert tile.size


def test_an_augmentation_alone_is_shown_on_every_picture(tmp_path: Path) -> None:
    """Grey, done to one in ten by the recipe, is done to all in its column."""
    batch = photos()
    write_sheet(tmp_path / "sheet.png", batch, LABELS, Pipeline([Grey(probability=0.1)]), repeats=1)
    sheet = read(tmp_path / "sheet.png").astype(int)
    top, left = find(sheet, batch[0])[0]
    beside = sheet[top : top + 120, left + 128 : left + 128 + 120]
    assert np.ptp(beside, axis=2).max() <= 1


@pytest.mark.parametrize(("size", "channels"), [(28, 1), (64, 3)])
def test_small_pictures_are_shown_larger_pixel_by_pixel(tmp_path: Path, size: int, channels: int) -> None:
    batch = photos(size, channels)
    write_sheet(tmp_path / "sheet.png", batch, LABELS, Pipeline([Flip()]))
    sheet = read(tmp_path / "sheet.png")
    factor = -(-112 // size)
    larger = np.broadcast_to(batch[0].repeat(factor, 0).repeat(factor, 1), (size * factor, size * factor, 3))
    assert find(sheet, larger)


def test_without_a_pipeline_everything_there_is(tmp_path: Path) -> None:
    batch = photos(112)
    write_sheet(tmp_path / "sheet.png", batch, LABELS)
    sheet = read(tmp_path / "sheet.png")
    count = len(list(AUGMENTATIONS)) + len(list(MIXES))
    blocks = -(-count // 8)
    assert len(find(sheet, batch[0])) >= blocks
    assert sheet.shape[0] > blocks * 2 * 112
    assert sheet.shape[1] > 9 * 112


def test_the_drawn_size_is_what_is_shown(tmp_path: Path) -> None:
    write_sheet(tmp_path / "small.png", photos(200), LABELS, Pipeline([Flip()]), height=120, width=120)
    write_sheet(tmp_path / "large.png", photos(200), LABELS, Pipeline([Flip()]))
    with Image.open(tmp_path / "small.png") as small, Image.open(tmp_path / "large.png") as large:
        assert small.height == large.height - 2 * 80


def test_the_seed_decides(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        write_sheet(tmp_path / name, photos(), LABELS, seed=seed)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes() != (tmp_path / "c").read_bytes()


def test_what_cannot_be_shown_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="labels"):
        write_sheet(tmp_path / "sheet.png", photos(), ["one"])
    with pytest.raises(DataError, match="pictures"):
        write_sheet(tmp_path / "sheet.png", photos()[:0], [])
    assert not list(tmp_path.iterdir())


def test_a_folder_in_its_place_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="can't be written"):
        write_sheet(tmp_path, photos(), LABELS)
    assert not list(tmp_path.iterdir())


def test_the_sheet_of_a_recipe_shows_its_classes(tmp_path: Path) -> None:
    recipe = small_recipe(write_stripes(tmp_path / "data"), augment=["flip"])
    told = write_sheet_of(recipe, tmp_path / "sheet.png")
    assert told == f"{tmp_path / 'sheet.png'}: what the recipe does"
    # original, flip, and the whole four times; two rows of pictures, eight times as large
    height, width, _ = read(tmp_path / "sheet.png").shape
    assert height > 2 * 7 * 16
    assert width > 6 * 7 * 16


def test_a_recipe_that_augments_nothing_is_told_of_all_there_is(tmp_path: Path) -> None:
    recipe = small_recipe(write_stripes(tmp_path / "data"))
    assert "augments nothing" in write_sheet_of(recipe, tmp_path / "sheet.png")
    assert read(tmp_path / "sheet.png").shape[0] > 4 * 7 * 16
