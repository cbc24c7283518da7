"""Calibration by photos that registry packages bring: the same pictures for everyone, and none of one's own.

``[calibration]`` of a recipe names photos as ``package:path inside it``. Each gives views: squares of
some shares of its shorter side, in the middle and at two corners, every second
one mirrored, resized to the model's input. Pillow's resize is integer
arithmetic: the same views everywhere. They are made when they are asked for: memory does not grow with their number.
"""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field

from model_zoo.spec import InputSpec
from optimize.choice import Choice
from optimize.data.package_files import package_file
from optimize.errors import RecipeError

Box = tuple[int, int, int, int]


class CalibrationPhotos(Choice):
    """``[calibration]``.

    Attributes:
        photos: references as ``package_file`` takes.
        shares: of the shorter side.
    """

    photos: Annotated[tuple[str, ...], Field(strict=False, min_length=1, max_length=1000)]
    shares: Annotated[tuple[Annotated[float, Field(gt=0, le=1)], ...], Field(strict=False, min_length=1, max_length=16)]

    def digest(self) -> str:
        """sha256 of the photos' files, in order.

        Raises:
            RecipeError, MissingPhotosError: as ``package_file``.
        """
        whole = hashlib.sha256()
        for reference in self.photos:
            whole.update(hashlib.sha256(package_file(reference).read_bytes()).digest())
        return whole.hexdigest()


@dataclass(frozen=True, slots=True)
class _View:
    photo: str
    box: Box
    is_mirrored: bool


class PhotoViews:
    """All views of all photos, in order; see ``optimize.passes.pictures.Pictures``."""

    def __init__(self, said: CalibrationPhotos, spec: InputSpec) -> None:
        """
        Args:
            spec: the input; RGB.
        Raises:
            RecipeError: an input that is not RGB, or a file that is no photo.
            MissingPhotosError: a package with photos is not installed.
        """
        if spec.colour != "rgb":
            raise RecipeError("calibration: photos are in colour, and the model takes grey pictures; give a number of "
                              "training pictures instead")  # fmt: skip
        boxes = [(photo, box) for photo in said.photos for box in _boxes(_size(photo), said.shares)]
        self._views = [_View(photo, box, index % 2 == 1) for index, (photo, box) in enumerate(boxes)]
        self._spec = spec
        self.dtype: np.dtype[np.uint8] = np.dtype(np.uint8)

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, height, width, 3)."""
        return len(self._views), self._spec.height, self._spec.width, self._spec.channels

    def __len__(self) -> int:
        """How many."""
        return len(self._views)

    def __getitem__(self, part: slice, /) -> NDArray[np.uint8]:
        """Some of them, uint8 (n, height, width, 3)."""
        opened: dict[str, Image.Image] = {}
        found = []
        for view in self._views[part]:
            if view.photo not in opened:
                opened = {view.photo: Image.fromarray(read_photo(view.photo))}
            picture = opened[view.photo].resize(
                (self._spec.width, self._spec.height), Image.Resampling.BICUBIC, box=view.box
            )
            if view.is_mirrored:
                picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
            found.append(np.asarray(picture))
        return np.stack(found) if found else np.zeros((0, *self.shape[1:]), np.uint8)


def read_photo(reference: str) -> NDArray[np.uint8]:
    """A photo's pixels, RGB (H, W, 3).

    Raises:
        RecipeError: not a reference, or no photo.
        MissingPhotosError: as ``package_file``.
    """
    with _opened(reference) as image:
        return np.asarray(image.convert("RGB"))


@contextmanager
def _opened(reference: str) -> Iterator[Image.Image]:
    try:
        with Image.open(package_file(reference)) as image:
            if image.mode.startswith(("I", "F")):
                raise RecipeError(f"{reference} has {image.mode} pixels; photos have 8 bits a channel")
            yield image
    except OSError as error:
        raise RecipeError(f"{reference} is no photo that can be read: {error}") from error


def _size(reference: str) -> tuple[int, int]:
    with _opened(reference) as image:
        return image.size


def _boxes(size: tuple[int, int], shares: Sequence[float]) -> Iterator[Box]:
    """Squares: top left, middle, bottom right."""
    width, height = size
    for share in shares:
        side = max(1, int(min(width, height) * share))
        corners = {(0, 0), ((width - side) // 2, (height - side) // 2), (width - side, height - side)}
        for left, top in sorted(corners):
            yield left, top, left + side, top + side
