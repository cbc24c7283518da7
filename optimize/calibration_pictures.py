"""Calibration pictures from photos that registry packages bring: the same for everyone.

A recipe names photos as ``package:path inside it``. Each gives views: squares of
some shares of its shorter side, in the middle and at two corners, every second
one mirrored, resized to the model's input. Pillow's resize is integer
arithmetic: the same views everywhere.
"""

from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from model_zoo.spec import InputSpec
from optimize.errors import MissingPhotosError, RecipeError

_DISTRIBUTIONS = {"skimage": "scikit-image", "sklearn": "scikit-learn"}


def photo_path(reference: str) -> Path:
    """Where a photo is; its package is found, never imported.

    Args:
        reference: ``package:path``, such as ``skimage:data/coffee.png``.
    Raises:
        RecipeError: not of that form.
        MissingPhotosError: the package is not installed, or lacks the file.
    """
    package, colon, inside = reference.partition(":")
    if not (colon and package.isidentifier() and inside) or ".." in Path(inside).parts or Path(inside).is_absolute():
        raise RecipeError(f"{reference!r} does not name a photo; write package:path, such as skimage:data/coffee.png")
    found = find_spec(package)
    for folder in (found.submodule_search_locations or ()) if found else ():
        if (path := Path(folder, inside)).is_file():
            return path
    name = _DISTRIBUTIONS.get(package, package)
    raise MissingPhotosError(f"{reference}: not here; pip install {name} (or 'quickeye[dev]')")


def read_photo(reference: str) -> NDArray[np.uint8]:
    """A photo's pixels, RGB (H, W, 3); errors as ``photo_path``."""
    with Image.open(photo_path(reference)) as image:
        return np.asarray(image.convert("RGB"))


def calibration_pictures(photos: Sequence[str], shares: Sequence[float], spec: InputSpec) -> NDArray[np.uint8]:
    """All views of all photos, in order.

    Args:
        photos: references as ``photo_path`` takes.
        shares: of the shorter side, each in (0, 1].
        spec: the input; RGB.
    Returns:
        uint8 (N, height, width, 3).
    Raises:
        RecipeError: a share out of bounds, no photos, or an input that is not RGB.
        MissingPhotosError: a package with photos is not installed.
    """
    if spec.colour != "rgb" or not photos or not shares or not all(0 < share <= 1 for share in shares):
        raise RecipeError("calibration needs an RGB input, one photo or more, and shares of the shorter side in (0, 1]")
    views: list[NDArray[np.uint8]] = []
    for reference in photos:
        image = Image.fromarray(read_photo(reference))
        for box in _boxes(image.width, image.height, shares):
            view = image.resize((spec.width, spec.height), Image.Resampling.BICUBIC, box=box)
            if len(views) % 2:
                view = view.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
            views.append(np.asarray(view))
    return np.stack(views)


def _boxes(width: int, height: int, shares: Sequence[float]) -> Iterator[tuple[int, int, int, int]]:
    """Squares: top left, middle, bottom right."""
    for share in shares:
        side = max(1, int(min(width, height) * share))
        corners = {(0, 0), ((width - side) // 2, (height - side) // 2), (width - side, height - side)}
        for left, top in sorted(corners):
            yield left, top, left + side, top + side
