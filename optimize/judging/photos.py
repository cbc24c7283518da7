"""Photos that judge a model; none of them may calibrate it.

``foolbox``: 20 labelled ImageNet photos in a registry package. ``clothing``: a
folder ``<split>/<class>/*.jpg`` on this machine, used for agreement only.
"""

import os
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from model_zoo.preprocess import preprocess
from model_zoo.spec import InputSpec
from optimize.errors import MissingPhotosError

CLOTHING_VARIABLE = "QUICKEYE_CLOTHING"

Pictures = NDArray[np.uint8]


def foolbox_photos(spec: InputSpec) -> tuple[Pictures, NDArray[np.int64]]:
    """Pictures at input size through the reference preprocessing, (20, H, W, 3), and their classes.

    Raises:
        MissingPhotosError: foolbox is not installed.
    """
    found = find_spec("foolbox")
    folders = list(found.submodule_search_locations or ()) if found else []
    files = sorted(Path(folders[0], "data").glob("imagenet_*.jpg")) if folders else []
    if not files:
        raise MissingPhotosError("the 20 labelled photos are in foolbox: pip install 'quickeye[dev]'")
    labels = np.array([int(file.stem.rpartition("_")[2]) for file in files])
    return _read(files, spec), labels


def clothing_folder() -> Path | None:
    """The folder that ``QUICKEYE_CLOTHING`` names, if it is there."""
    named = os.environ.get(CLOTHING_VARIABLE)
    folder = Path(named) if named else None
    return folder if folder and folder.is_dir() else None


def clothing_photos(folder: Path, split: str, spec: InputSpec, *, every: int = 1) -> Pictures:
    """Every so many-th photo of a split in name order, as ``foolbox_photos``.

    Raises:
        MissingPhotosError: no photos there.
    """
    files = sorted((folder / split).glob("*/*.jpg"))[::every]
    if not files:
        raise MissingPhotosError(f"no photos in {folder / split}/<class>/*.jpg")
    return _read(files, spec)


def _read(files: list[Path], spec: InputSpec) -> Pictures:
    pictures = []
    for file in files:
        with Image.open(file) as image:
            pictures.append(preprocess(np.asarray(image.convert("RGB")), spec))
    return np.stack(pictures)
