"""Small data sets on disk, each picture different unless a test wants a copy."""

import gzip
import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from model_zoo.spec import InputSpec, Resize

SPEC = InputSpec(8, 8, 3, "rgb", Resize("shorter_side", 9, "bicubic"), "centre", (127.0,) * 3, (128.0,) * 3)


def photo(number: int, size: tuple[int, int] = (24, 20)) -> Image.Image:
    """A picture of its own for each number: four random colours blended into one another."""
    corners = np.random.default_rng(number).integers(0, 256, (2, 2, 3), np.uint8)
    return Image.fromarray(corners).resize(size, Image.Resampling.BILINEAR)


def save(path: Path, number: int, **options: object) -> Path:
    """Write ``photo(number)``; the format is the suffix's."""
    path.parent.mkdir(parents=True, exist_ok=True)
    photo(number).save(path, **options)
    return path


def class_folder(root: Path, sizes: Mapping[str, int], *, first: int = 0) -> Path:
    """``root/CLASS/000.png``… with so many pictures of each class; numbers of photos go on from ``first``."""
    root.mkdir(parents=True, exist_ok=True)
    for name, size in sizes.items():
        (root / name).mkdir(exist_ok=True)
        for number in range(size):
            save(root / name / f"{number:03}.png", first)
            first += 1
    return root


def idx_bytes(array: np.ndarray) -> bytes:
    """The IDX form of an array of bytes."""
    return bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def idx_pair(folder: Path, prefix: str, labels: list[int], *, packed: bool = True, seed: int = 0) -> Path:
    """``PREFIX-images-idx3-ubyte[.gz]`` and its labels; the images file."""
    folder.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (len(labels), 6, 5), np.uint8)
    pack, suffix = (gzip.compress, ".gz") if packed else (bytes, "")
    images = folder / f"{prefix}-images-idx3-ubyte{suffix}"
    images.write_bytes(pack(idx_bytes(pixels)))
    (folder / f"{prefix}-labels-idx1-ubyte{suffix}").write_bytes(pack(idx_bytes(np.array(labels, np.uint8))))
    return images
