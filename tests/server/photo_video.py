"""Test videos: Motion-JPEG AVIs made of real photos, and of flat colours."""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

SIZE = (320, 240)
Picture = NDArray[np.uint8]


def natural_photos() -> list[Path]:
    """scikit-learn's two; it is found, not imported."""
    found = find_spec("sklearn")
    (folder,) = list(found.submodule_search_locations or ()) if found else [""]
    return sorted(Path(folder, "datasets", "images").glob("*.jpg"))


def fitted(file: Path, size: tuple[int, int] = SIZE) -> Picture:
    """A photo cut to a video's size: RGB, (height, width, 3)."""
    with Image.open(file) as image:
        return np.asarray(ImageOps.fit(image.convert("RGB"), size), np.uint8)


def coloured(red: int, green: int, blue: int, size: tuple[int, int] = SIZE) -> Picture:
    """One colour."""
    return np.full((size[1], size[0], 3), (red, green, blue), np.uint8)


def write_video(path: Path, pictures: Sequence[Picture], fps: float = 30.0) -> Path:
    """One frame per picture (RGB, all of one size)."""
    height, width = pictures[0].shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), fps, (width, height))
    for picture in pictures:
        writer.write(picture[:, :, ::-1])
    writer.release()
    return path
