"""IDX, the format of MNIST and its kin: an images file and a labels file, gzipped or not.

Four bytes of magic (0, 0, type, dimensions), the sizes as big-endian 32-bit
numbers, then the values. Here: uint8 images of (N, H, W), or (N, H, W, C) with 1
or 3 channels, and uint8 labels. Every length is verified, and no more is unpacked
than the header says. Source: http://yann.lecun.com/exdb/mnist, "the IDX file format".
"""

import math
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from optimize.data.array_pictures import ArrayPictures
from optimize.data.listing import Listing
from optimize.errors import DataError

_GZIP = b"\x1f\x8b"
_UINT8 = 8
_BLOCK = 2**20
_MAX_BYTES = 64 * 10**9
_PREFIXES = {"train": ("train",), "val": ("val", "validation"), "test": ("t10k", "test")}


def is_idx(path: Path) -> bool:
    """Whether a file begins like an IDX file of bytes, once unpacked."""
    try:
        head = _read(path, 4)
    except (OSError, zlib.error, DataError):
        return False
    return len(head) == 4 and head[:3] == bytes((0, 0, _UINT8)) and 1 <= head[3] <= 4


def parts_of_folder(folder: Path) -> dict[str, Path]:
    """Images files of a folder by split: ``train-images…``, ``t10k-images…`` and the like."""
    found = {}
    for split, prefixes in _PREFIXES.items():
        for prefix in prefixes:
            files = images_of_prefix(folder / prefix)
            if files is not None:
                found[split] = files
    return found


def images_of_prefix(prefix: Path) -> Path | None:
    """``…/t10k`` → ``…/t10k-images-idx3-ubyte.gz``, if there is such a file."""
    if not prefix.parent.is_dir():
        return None
    names = sorted(prefix.parent.glob(f"{glob_escaped(prefix.name)}[-_.]images*"))
    return next((file for file in names if is_idx(file)), None)


def glob_escaped(name: str) -> str:
    """A name that means itself in a pattern."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)


def list_pair(images: Path) -> Listing:
    """An images file and the labels file beside it.

    Raises:
        DataError: either is broken, there is no labels file, or they do not go together.
    """
    labels = _labels_beside(images)
    pixels, numbers = read_idx(images), read_idx(labels)
    if pixels.ndim == 3:
        pixels = pixels[..., None]
    if pixels.ndim != 4 or pixels.shape[3] not in (1, 3) or min(pixels.shape) < 1:
        raise DataError(f"{images}: {pixels.shape} are no pictures; (N, H, W) or (N, H, W, 1 or 3) are needed")
    if numbers.ndim != 1 or len(numbers) != len(pixels):
        raise DataError(f"{images} has {len(pixels)} pictures, {labels.name} {numbers.shape} labels")
    return Listing(str(images), ArrayPictures(pixels, images.name), ("label",), (tuple(numbers.tolist()),))


def _labels_beside(images: Path) -> Path:
    name = images.name.replace("images", "labels")
    names = [name.replace(f"idx{dimensions}", "idx1") for dimensions in (3, 4)] + [name]
    plain = [one.removesuffix(".gz") for one in names]
    for one in (*names, *plain, *(f"{one}.gz" for one in plain)):
        if one != images.name and (images.parent / one).is_file():
            return images.parent / one
    labels = next((one for one in names if one != name), name)
    raise DataError(f"{images}: there is no labels file {labels} beside it")


def read_idx(path: Path) -> NDArray[np.uint8]:
    """The values of an IDX file of bytes, in the shape that it states.

    Raises:
        DataError: another type or number of dimensions, or not as long as its header says.
    """
    try:
        shape = _shape(path, _read(path, 4 + 4 * 4))
        begin, size = 4 + 4 * len(shape), math.prod(shape)
        data = _read(path, begin + size + 1)
    except (OSError, zlib.error) as error:
        raise DataError(f"{path}: it can't be read: {error}") from error
    if len(data) != begin + size:
        held = "more" if len(data) > begin + size else f"{len(data) - begin:,}: it is cut off"
        raise DataError(f"{path}: its header says {shape}, {size:,} bytes, and it holds {held}")
    return np.frombuffer(data, np.uint8, offset=begin).reshape(shape)


def _read(path: Path, size: int) -> bytes:
    """The first ``size`` bytes, unpacked where the file is gzip; fewer where it ends before."""
    with path.open("rb") as file:
        head = file.read(2)
        if head != _GZIP:
            return head + file.read(max(size - 2, 0))
        unpacker = zlib.decompressobj(wbits=31)
        parts, missing = [], size
        while missing > 0 and not unpacker.eof:
            packed = unpacker.unconsumed_tail or head + file.read(_BLOCK)
            if not packed:
                raise DataError(f"{path}: the gzip file is cut off")
            head = b""
            parts.append(unpacker.decompress(packed, missing))
            missing -= len(parts[-1])
    return b"".join(parts)


def _shape(path: Path, head: bytes) -> tuple[int, ...]:
    if len(head) < 4 or head[:2] != b"\x00\x00" or head[2] != _UINT8 or not 1 <= head[3] <= 4:
        raise DataError(
            f"{path}: it does not begin as an IDX file of bytes does (00 00 08 and 1 to 4), "
            f"but with {head[:4].hex(' ') or 'nothing'}"
        )
    if len(head) < 4 + 4 * head[3]:
        raise DataError(f"{path}: it ends within its header")
    shape: tuple[int, ...] = struct.unpack_from(f">{head[3]}I", head, 4)
    if math.prod(shape) > _MAX_BYTES:
        raise DataError(f"{path}: its header says {shape}, more than {_MAX_BYTES // 10**9} GB")
    return shape
