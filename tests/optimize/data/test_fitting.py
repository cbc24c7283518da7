"""Pixels and channels."""

import numpy as np
import pytest

from model_zoo.preprocess import preprocess
from optimize.data.array_pictures import ArrayPictures
from optimize.data.dataset import Dataset, Task
from optimize.data.fitting import fit, in_channels
from optimize.data.joined_pictures import join
from tests.optimize.data.sets_on_disk import SPEC, photo


def test_grey_becomes_rgb_by_repeating() -> None:
    grey = np.arange(6, dtype=np.uint8).reshape(2, 3, 1)
    np.testing.assert_array_equal(in_channels(grey, 3), np.stack([grey[..., 0]] * 3, axis=2))


def test_rgb_becomes_grey_by_its_luma() -> None:
    pixels = np.asarray(photo(1))
    luma = pixels.astype(np.float64) @ [0.299, 0.587, 0.114]  # ITU-R 601
    assert np.abs(in_channels(pixels, 1)[..., 0] - luma).max() <= 1


def test_the_right_channels_are_left_alone() -> None:
    pixels = np.asarray(photo(1))
    assert in_channels(pixels, 3) is pixels


def test_pixels_go_through_the_reference() -> None:
    pixels = np.asarray(photo(3))[None]
    fitted = fit(ArrayPictures(pixels), 0, lambda _: SPEC)
    np.testing.assert_array_equal(fitted, preprocess(pixels[0], SPEC))


@pytest.mark.parametrize("shape", [(2, 4, 4), (2, 4, 4, 4)])
def test_arrays_of_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="uint8"):
        ArrayPictures(np.zeros(shape, np.uint8))


def test_the_same_bytes_in_another_shape_are_another_picture() -> None:
    flat = np.arange(12, dtype=np.uint8)
    wide, tall = ArrayPictures(flat.reshape(1, 2, 6, 1)), ArrayPictures(flat.reshape(1, 6, 2, 1))
    assert wide.digest(0) != tall.digest(0)
    assert wide.digest(0) == ArrayPictures(flat.reshape(1, 2, 6, 1).copy(), "other").digest(0)


def test_joined_sets_keep_pictures_names_labels_and_digests() -> None:
    def made(name: str, numbers: list[int]) -> Dataset:
        pixels = np.stack([np.asarray(photo(number)) for number in numbers])
        labels = np.array(numbers)[:, None]
        positions = np.arange(len(numbers))[::-1].copy()
        return Dataset(name, ArrayPictures(pixels, name), positions, labels, (Task("label", tuple("abcdef")),))

    first, second = made("first", [0, 1]), made("second", [2, 3, 4])
    joined = join([first, second], "both")
    assert [joined.identifier(index) for index in range(5)] == [
        "first[1]", "first[0]", "second[2]", "second[1]", "second[0]",
    ]  # fmt: skip
    assert joined.first_labels.tolist() == [0, 1, 2, 3, 4]
    np.testing.assert_array_equal(joined.read(3), second.read(1))
    assert joined.source.digest(4) == second.source.digest(2)
    assert joined.subset([4, 0]).identifier(0) == "second[0]"
