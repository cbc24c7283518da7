"""The 20 labelled ImageNet photos of the foolbox package, for every test that needs real ones."""

import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from model_zoo.preprocess import preprocess
from model_zoo.spec import InputSpec


@cache
def photo_files() -> tuple[tuple[Path, int], ...]:
    """(file, ImageNet class) of each; foolbox is found, not imported (it needs more than the photos)."""
    found = find_spec("foolbox")
    folders = list(found.submodule_search_locations or ()) if found else []
    if not folders:
        pytest.skip("needs the photos in foolbox: pip install 'quickeye[dev]'")
    files = sorted(Path(folders[0], "data").glob("imagenet_*.jpg"))
    return tuple((file, int(re.findall(r"_(\d+)$", file.stem)[0])) for file in files)


@cache
def photos(spec: InputSpec) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """All photos at a model's input size, through the reference preprocessing, and their classes."""
    pictures = []
    for file, _ in photo_files():
        with Image.open(file) as image:
            pictures.append(preprocess(np.asarray(image.convert("RGB")), spec))
    return np.stack(pictures), np.array([label for _, label in photo_files()])


def top_hits(logits: NDArray[np.float32], labels: NDArray[np.int64], k: int) -> int:
    """How many rows have their label among the k highest."""
    return int((np.argsort(-logits, axis=1)[:, :k] == labels[:, None]).any(axis=1).sum())
