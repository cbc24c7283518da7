"""Calibration pictures: where from, what shape, the same each time."""

import numpy as np
import pytest

from model_zoo.architectures.inputs import GREY28_INPUT, IMAGENET_INPUT
from optimize.calibration_pictures import calibration_pictures, photo_path, read_photo
from optimize.errors import MissingPhotosError, RecipeError

CAT = "skimage:data/chelsea.png"


def test_views_of_one_photo() -> None:
    pictures = calibration_pictures([CAT], [1.0, 0.5], IMAGENET_INPUT)
    assert pictures.shape == (6, 224, 224, 3)  # three squares for each share
    assert pictures.dtype == np.uint8
    assert np.array_equal(pictures, calibration_pictures([CAT], [1.0, 0.5], IMAGENET_INPUT))
    assert len({view.tobytes() for view in pictures}) == 6


def test_a_square_photo_gives_its_whole_once() -> None:
    assert len(calibration_pictures(["skimage:data/astronaut.png"], [1.0], IMAGENET_INPUT)) == 1


def test_every_second_view_is_mirrored() -> None:
    twice = calibration_pictures(["skimage:data/astronaut.png"] * 2, [1.0], IMAGENET_INPUT)
    assert np.array_equal(twice[0], twice[1][:, ::-1])


def test_photo_is_rgb() -> None:
    assert read_photo(CAT).shape == (300, 451, 3)


@pytest.mark.parametrize(
    "reference", ["coffee.png", "skimage:", ":data/coffee.png", "skimage:../x.png", "skimage:/etc/x"]
)
def test_reference_of_another_form_is_refused(reference: str) -> None:
    with pytest.raises(RecipeError, match="package:path"):
        photo_path(reference)


def test_absent_package_says_what_to_install() -> None:
    with pytest.raises(MissingPhotosError, match="pip install no_such_package_here"):
        photo_path("no_such_package_here:photo.png")
    with pytest.raises(MissingPhotosError, match="pip install scikit-image"):
        photo_path("skimage:data/no_such_photo.png")


def test_shares_out_of_bounds_and_grey_inputs_are_refused() -> None:
    with pytest.raises(RecipeError, match="shares"):
        calibration_pictures([CAT], [0.0], IMAGENET_INPUT)
    with pytest.raises(RecipeError, match="RGB"):
        calibration_pictures([CAT], [1.0], GREY28_INPUT)
