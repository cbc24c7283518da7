"""Stores: the same pictures in memory and streamed."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from model_zoo.header import PictureLimits, read_header
from model_zoo.preprocess import prepare, preprocess
from model_zoo.spec import InputSpec, Resize
from optimize.data.array_pictures import ArrayPictures
from optimize.data.dataset import Dataset, Task
from optimize.data.image_folder import list_unlabelled
from optimize.data.listing import settle
from optimize.data.picture_store import StoredShape, open_store, stored_shape
from optimize.errors import DataError
from tests.optimize.data.sets_on_disk import SPEC, photo, save
from tests.pictures import encode, oriented

TASKS = (Task("label", ("only",)),)


@pytest.fixture
def files(tmp_path: Path) -> Dataset:
    """Twenty pictures of one size."""
    for number in range(20):
        save(tmp_path / "set" / f"{number:02}.png", number)
    return settle(list_unlabelled(tmp_path / "set"), TASKS)


def array_of(pixels: np.ndarray) -> Dataset:
    n = len(pixels)
    return Dataset("array", ArrayPictures(pixels), np.arange(n), np.zeros((n, 1), np.int64), TASKS)


def test_memory_and_stream_give_the_same(files: Dataset) -> None:
    shape = StoredShape(12, 10, 3)
    held, streamed = open_store(files, shape, workers=3), open_store(files, shape, memory_mb=0, workers=3)
    assert held.is_in_memory
    assert not streamed.is_in_memory
    indices = np.array([19, 0, 0, 7])
    assert torch.equal(held.batch(indices), streamed.batch(indices))
    assert held.batch(indices).shape == (4, 3, 12, 10)
    assert held.batch(indices).is_contiguous()
    assert len(held) == len(streamed) == 20
    streamed.close()


def test_the_limit_of_memory_is_kept_to_the_byte(files: Dataset) -> None:
    side = 100  # 20 pictures of 100 × 100 grey bytes are 200,000 bytes
    assert open_store(files, StoredShape(side, side, 1), memory_mb=1).is_in_memory
    large = StoredShape(250, 200, 1)
    assert open_store(files, large, memory_mb=1).is_in_memory
    assert not open_store(files, replace(large, height=251), memory_mb=1).is_in_memory


def test_a_crop_is_the_centre_of_the_covering_size(files: Dataset) -> None:
    image = photo(3)  # 24 × 20
    stored = open_store(files, StoredShape(10, 10, 3)).batch(np.array([3]))[0].permute(1, 2, 0).numpy()
    covering = np.asarray(image.resize((12, 10), Image.Resampling.BICUBIC))[:, 1:11]
    assert np.abs(stored.astype(int) - covering).max() <= 1


@pytest.mark.parametrize("size", [(24, 20), (20, 24), (100, 7), (8, 8), (1, 1)])
@pytest.mark.parametrize("shape", [(12, 10), (10, 12), (8, 8)])
def test_a_crop_always_covers_and_never_by_more_than_needed(size: tuple[int, int], shape: tuple[int, int]) -> None:
    spec = StoredShape(*shape, 3).spec_for(size)
    shorter = min(size)
    scaled = [spec.resize.size * side // shorter for side in size]
    assert scaled[0] >= shape[1]
    assert scaled[1] >= shape[0]
    smaller = [(spec.resize.size - 1) * side / shorter for side in size]
    assert smaller[0] < shape[1] or smaller[1] < shape[0]


@pytest.mark.parametrize("fit", ["stretch", "letterbox"])
def test_other_fits_are_those_of_serving(files: Dataset, fit: str) -> None:
    data = Path(files.source.paths[5]).read_bytes()
    spec = replace(SPEC, height=12, width=10, resize=Resize(fit, 0, "bilinear"), crop="none")
    expected = prepare(data, read_header(data, PictureLimits()), spec)
    stored = open_store(files, StoredShape(12, 10, 3, fit, "bilinear")).batch(np.array([5]))[0]
    np.testing.assert_array_equal(stored.permute(1, 2, 0).numpy(), expected)


def test_pixels_of_the_right_size_are_taken_as_they_are() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (5, 7, 6, 1), np.uint8)
    store = open_store(array_of(pixels).subset([4, 2]), StoredShape(7, 6, 1))
    np.testing.assert_array_equal(store.batch(np.array([0, 1]))[:, 0].numpy(), pixels[[4, 2], :, :, 0])


def test_grey_pixels_fill_the_channels_of_a_colour_network() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (5, 7, 6, 1), np.uint8)
    batch = open_store(array_of(pixels), StoredShape(7, 6, 3)).batch(np.arange(5)).numpy()
    np.testing.assert_array_equal(batch, pixels.transpose(0, 3, 1, 2).repeat(3, axis=1))


def test_mixed_kinds_of_pictures_take_one_shape(tmp_path: Path) -> None:
    photo(1).convert("L").save(tmp_path / "a.png")
    photo(1).convert("RGBA").save(tmp_path / "b.png")
    photo(1).convert("CMYK").save(tmp_path / "c.jpg")
    photo(1).quantize(64).save(tmp_path / "d.gif")
    store = open_store(settle(list_unlabelled(tmp_path), TASKS), StoredShape(8, 8, 3))
    batch = store.batch(np.arange(4)).numpy()
    assert batch.shape == (4, 3, 8, 8)
    np.testing.assert_array_equal(batch[0, 0], batch[0, 2])


@pytest.mark.parametrize("memory_mb", [0, 100])
def test_an_input_spec_keeps_what_the_server_gives(tmp_path: Path, memory_mb: int) -> None:
    large, grey = encode(photo(1, (640, 480)), "jpeg"), encode(photo(2).convert("L"), "jpeg")
    datas = [large, grey, oriented("jpeg", 6), encode(photo(3), "png")]
    for number, data in enumerate(datas):
        (tmp_path / f"{number}.jpg").write_bytes(data)
    store = open_store(settle(list_unlabelled(tmp_path), TASKS), SPEC, memory_mb=memory_mb)
    expected = [prepare(data, read_header(data, PictureLimits()), SPEC) for data in datas]
    np.testing.assert_array_equal(store.batch(np.arange(4)).permute(0, 2, 3, 1).numpy(), np.stack(expected))
    store.close()


@pytest.mark.parametrize(
    "spec",
    [
        replace(SPEC, height=32, width=32, resize=Resize("shorter_side", 37)),
        replace(SPEC, height=32, width=32, resize=Resize("shorter_side", 32)),
        replace(SPEC, height=32, width=32, resize=Resize("stretch", 0), crop="none"),
        replace(SPEC, height=32, width=32, resize=Resize("letterbox", 0), crop="none"),
    ],
    ids=lambda spec: f"{spec.resize.mode} {spec.resize.size}",
)
@pytest.mark.parametrize("memory_mb", [0, 100])
def test_pixels_of_the_inputs_size_are_served_as_any_others(spec: InputSpec, memory_mb: int) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (3, 32, 32, 3), np.uint8)
    batch = open_store(array_of(pixels).subset([2, 0]), spec, memory_mb=memory_mb).batch(np.arange(2))
    expected = np.stack([preprocess(pixels[2], spec), preprocess(pixels[0], spec)])
    np.testing.assert_array_equal(batch.permute(0, 2, 3, 1).numpy(), expected)


@pytest.mark.parametrize("memory_mb", [0, 100])
def test_a_file_that_broke_since_is_named(files: Dataset, memory_mb: int) -> None:
    Path(files.source.paths[3]).write_bytes(b"gone")
    with pytest.raises(DataError, match=r"set/03\.png"):
        open_store(files, StoredShape(8, 8, 3), memory_mb=memory_mb).batch(np.arange(20))


def test_progress_is_told_while_memory_fills(files: Dataset) -> None:
    told: list[tuple[int, int]] = []
    open_store(files, StoredShape(8, 8, 3), progress=lambda done, total: told.append((done, total)))
    assert told == [(16, 20), (20, 20)]


@pytest.mark.parametrize(("train_px", "margin"), [(224, 1.15), (128, 1.0), (28, 1.0)])
def test_a_store_is_a_bit_larger_than_training_needs(train_px: int, margin: float) -> None:
    shape = stored_shape(SPEC, train_px, margin)
    assert (shape.height, shape.width) == (math.ceil(train_px * margin - 1e-9),) * 2
    assert (shape.fit, shape.filter, shape.channels) == ("crop", "bicubic", 3)


def test_a_store_has_the_ratio_and_the_fit_of_the_input() -> None:
    spec = replace(SPEC, height=100, width=200, resize=Resize("stretch", 0, "bilinear"), crop="none")
    assert stored_shape(spec, 50, 1.2) == StoredShape(60, 120, 3, "stretch", "bilinear")
