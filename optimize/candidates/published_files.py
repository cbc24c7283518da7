"""What a recipe names beside its pictures, read: photos that calibrate, the published bundle's card and check."""

import numpy as np
from numpy.typing import NDArray

from model_zoo.bundle import Bundle
from model_zoo.errors import PictureError
from model_zoo.header import read_header
from model_zoo.preprocess import prepare_reference
from model_zoo.spec import InputSpec
from optimize.candidates.card import require_known_places
from optimize.candidates.photo_views import CalibrationPhotos, PhotoViews
from optimize.candidates.publishing import Publishing
from optimize.candidates.recipe import OptimizeRecipe
from optimize.data.layouts import list_path
from optimize.data.options import DataOptions
from optimize.data.package_files import found_file, package_file
from optimize.data.picture_files import LIMITS
from optimize.errors import RecipeError


def require_named_files(recipe: OptimizeRecipe, parent: Bundle) -> None:
    """See that all of it is there before hours of work.

    Raises:
        RecipeError: a card or a photo that can't be read, or photos for a model that takes grey pictures.
        DataError: a set for figures in which there is nothing.
        MissingPhotosError: a package is not installed.
    """
    if isinstance(recipe.calibration, CalibrationPhotos):
        PhotoViews(recipe.calibration, parent.spec.input)
    if recipe.publish is not None:
        require_known_places(read_card(recipe.publish) or "")
        check_pictures(recipe.publish, parent.spec.input)
        for one in recipe.publish.figures:
            if not found_file(one.data).exists():
                raise RecipeError(f"publish.figures: {one.data} is not there")
            list_path(one.data, DataOptions(train=one.data))


def read_card(said: Publishing) -> str | None:
    """The page with places to fill; None where the run's own card does.

    Raises:
        RecipeError: it can't be read.
        MissingPhotosError: its package is not installed.
    """
    if said.card is None:
        return None
    path = found_file(said.card)
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"publish.card: {path} can't be read: {error}") from error


def check_pictures(said: Publishing, spec: InputSpec) -> NDArray[np.uint8] | None:
    """Four photos as the server prepares them, uint8 (4, height, width, channels); None where none are named.

    Raises:
        RecipeError: not a reference, or no photo.
        MissingPhotosError: as ``package_file``.
    """
    if said.check is None:
        return None
    return np.stack([_prepared(one, spec) for one in said.check])


def _prepared(reference: str, spec: InputSpec) -> NDArray[np.uint8]:
    try:
        data = package_file(reference).read_bytes()
        return prepare_reference(data, read_header(data, LIMITS), spec)
    except (OSError, PictureError) as error:
        raise RecipeError(f"publish.check: {reference} is no photo that can be read: {error}") from error
