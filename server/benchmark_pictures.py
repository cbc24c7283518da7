"""The encoded pictures that a benchmark decodes: the user's own, or photos made of the bundle's check."""

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from model_zoo.bundle import Bundle
from model_zoo.errors import PictureError
from model_zoo.header import Header, PictureLimits, read_header
from server.picture_files import picture_files

MAX_PICTURES = 64
TYPICAL_SIZE = (640, 480)
TYPICAL_QUALITY = 85

EncodedPicture = tuple[bytes, Header]


def encoded_pictures(bundle: Bundle, folder: Path | None) -> tuple[list[EncodedPicture], str]:
    """Encoded pictures with their headers, at most ``MAX_PICTURES``, and a word on what they are.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: nothing in it is a picture that the server would take.
    """
    if folder is None:
        pictures = [as_jpeg(picture) for picture in bundle.check().pictures]
        said = f"{len(pictures)} check pictures as {TYPICAL_SIZE[0]}x{TYPICAL_SIZE[1]} JPEG (--images DIR for your own)"
    else:
        pictures = [path.read_bytes() for path in picture_files(folder, recursive=True)[:MAX_PICTURES]]
        said = f"{len(pictures)} pictures from {folder}"
    limits = PictureLimits()
    taken: list[EncodedPicture] = []
    reasons: list[str] = []
    for data in pictures:
        try:
            taken.append((data, read_header(data, limits)))
        except PictureError as error:
            reasons.append(str(error))
    if not taken:
        raise ValueError(f"no picture to measure with in {folder}" + (f": {reasons[0]}" if reasons else ""))
    mean_kb = sum(len(data) for data, _ in taken) / len(taken) / 1e3
    return taken, f"{said}, {mean_kb:.0f} kB in the mean" + (f"; {len(reasons)} left out" if reasons else "")


def as_jpeg(picture: NDArray[np.uint8]) -> bytes:
    """A picture at input size, (H, W, C), as a camera-sized JPEG."""
    image = Image.fromarray(picture[:, :, 0] if picture.shape[2] == 1 else picture)
    target = io.BytesIO()
    image.convert("RGB").resize(TYPICAL_SIZE, Image.Resampling.BICUBIC).save(target, "JPEG", quality=TYPICAL_QUALITY)
    return target.getvalue()
