"""Views of packaged photos: where from, what shape, the same each time and however they are asked for."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from model_zoo.architectures.inputs import GREY28_INPUT, IMAGENET_INPUT
from optimize.candidates.photo_views import CalibrationPhotos, PhotoViews, read_photo
from optimize.data.package_files import package_file
from optimize.errors import MissingPhotosError, RecipeError

CAT, ASTRONAUT = "skimage:data/chelsea.png", "skimage:data/astronaut.png"


def views(photos: list[str], shares: list[float]) -> PhotoViews:
    return PhotoViews(CalibrationPhotos(photos=tuple(photos), shares=tuple(shares)), IMAGENET_INPUT)


def test_views_of_one_photo() -> None:
    pictures = views([CAT], [1.0, 0.5])
    assert pictures.shape == pictures[:].shape == (6, 224, 224, 3)  # three squares for each share
    assert pictures[:].dtype == pictures.dtype == np.uint8
    assert np.array_equal(pictures[:], views([CAT], [1.0, 0.5])[:])
    assert len({view.tobytes() for view in pictures[:]}) == 6


def test_some_of_them_are_what_all_of_them_have_there() -> None:
    pictures = views([CAT, ASTRONAUT, "skimage:data/rocket.jpg"], [1.0, 0.75])
    whole = pictures[:]
    assert len(pictures) == len(whole)
    for part in (slice(0, 1), slice(2, 9), slice(5, None), slice(4, 4), slice(None, None, 3)):
        assert np.array_equal(pictures[part], whole[part])


def test_a_square_photo_gives_its_whole_once() -> None:
    with Image.open(package_file(ASTRONAUT)) as image:
        whole = np.asarray(image.convert("RGB").resize((224, 224), Image.Resampling.BICUBIC))
    assert np.array_equal(views([ASTRONAUT], [1.0])[:], whole[None])


def test_every_second_view_is_mirrored() -> None:
    twice = views([ASTRONAUT] * 2, [1.0])[:]
    assert np.array_equal(twice[0], twice[1][:, ::-1])


def test_views_lie_top_left_in_the_middle_and_bottom_right() -> None:
    """Of a wide photo, 300 by 451: side 150 at (0, 0), (150, 75) and (301, 150)."""
    photo = Image.fromarray(read_photo(CAT))
    boxes = [(0, 0, 150, 150), (150, 75, 300, 225), (301, 150, 451, 300)]
    expected = [np.asarray(photo.resize((224, 224), Image.Resampling.BICUBIC, box=box)) for box in boxes]
    expected[1] = expected[1][:, ::-1]
    assert np.array_equal(views([CAT], [0.5])[:], np.stack(expected))


def test_photo_is_rgb() -> None:
    assert read_photo(CAT).shape == (300, 451, 3)


def test_what_can_not_be_is_refused() -> None:
    with pytest.raises(RecipeError, match="in colour, and the model takes grey"):
        PhotoViews(CalibrationPhotos(photos=(CAT,), shares=(1.0,)), GREY28_INPUT)
    with pytest.raises(RecipeError, match="package:path"):
        views(["coffee.png"], [1.0])
    with pytest.raises(RecipeError, match="no photo that can be read"):
        views(["optimize:recipes/foolbox.csv"], [1.0])
    with pytest.raises(MissingPhotosError, match="pip install no_such_package"):
        views(["no_such_package:x.png"], [1.0])
    for shares in ((), (0.0,), (1.5,)):
        with pytest.raises(ValidationError, match="shares"):
            CalibrationPhotos(photos=(CAT,), shares=shares)


def test_the_digest_is_of_what_the_photos_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "photos_of_a_test"
    package.mkdir()
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    said = CalibrationPhotos(photos=("photos_of_a_test:a.png",), shares=(1.0,))
    digests = []
    for shade in (0, 0, 9):
        Image.new("RGB", (9, 9), (shade, 0, 0)).save(package / "a.png")
        digests.append(said.digest())
    assert digests[0] == digests[1] != digests[2]
