"""What is measured is what is served."""

from pathlib import Path

import numpy as np
import pytest

from model_zoo.header import PictureLimits, read_header
from model_zoo.preprocess import prepare, preprocess
from optimize.data.array_pictures import ArrayPictures
from optimize.data.dataset import Dataset, Task
from optimize.data.evaluation_pictures import evaluation_batches, evaluation_pictures
from optimize.data.image_folder import list_unlabelled
from optimize.data.listing import settle
from tests.optimize.data.sets_on_disk import SPEC, photo
from tests.pictures import encode, oriented

TASKS = (Task("label", ("only",)),)


@pytest.fixture
def files(tmp_path: Path) -> Dataset:
    """A large JPEG, a grey one, a turned one, and a few more."""
    kinds = [encode(photo(1, (640, 480)), "jpeg"), encode(photo(2).convert("L"), "jpeg"), oriented("jpeg", 6)]
    for number, data in enumerate([*kinds, *(encode(photo(number), "png") for number in range(3, 9))]):
        (tmp_path / f"{number}.jpg").write_bytes(data)
    return settle(list_unlabelled(tmp_path), TASKS)


def test_files_are_prepared_by_the_servers_code(files: Dataset) -> None:
    datas = [path.read_bytes() for path in files.source.paths]
    served = [prepare(data, read_header(data, PictureLimits()), SPEC) for data in datas]
    np.testing.assert_array_equal(evaluation_pictures(files, SPEC), np.stack(served))


def test_pixels_are_prepared_by_the_reference() -> None:
    pixels = np.stack([np.asarray(photo(number)) for number in range(3)])
    dataset = Dataset("some", ArrayPictures(pixels), np.array([2, 0]), np.zeros((2, 1), np.int64), TASKS)
    np.testing.assert_array_equal(
        evaluation_pictures(dataset, SPEC), np.stack([preprocess(pixels[2], SPEC), preprocess(pixels[0], SPEC)])
    )


@pytest.mark.parametrize("batch_size", [1, 2, 9, 50])
def test_batches_are_the_same_in_order(files: Dataset, batch_size: int) -> None:
    batches = list(evaluation_batches(files, SPEC, batch_size, workers=3))
    assert max(map(len, batches)) == min(batch_size, 9)
    np.testing.assert_array_equal(np.concatenate(batches), evaluation_pictures(files, SPEC))
