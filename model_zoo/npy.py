"""Pixels as they are, in NumPy's ``.npy``: for programs that have pixels, not a file. Nothing has to be decoded.

One picture is (height, width), or (height, width, channels) with 1, 3 or 4 channels: grey, RGB, RGBA. Several of one
size are (pictures, height, width, channels), which ``read_header`` refuses and ``read_npy_pictures`` takes without
copying. uint8 in C order alone: what a decoder would have made.

What the file says of itself is read by NumPy's own parser, of a few hundred bytes at most, and remembered: a camera's
frames all begin alike. It is a Python literal; nothing in it is run, and pickled objects are not read.
"""

import math
import struct
from collections.abc import Sequence
from functools import lru_cache
from io import BytesIO
from typing import NamedTuple

import numpy as np

from model_zoo.errors import UndecodableImageError, UnsupportedFormatError

MAGIC = b"\x93NUMPY"
CHANNELS = (1, 3, 4)
_MAX_HEADER_BYTES = 1024  # NumPy writes 118
_LENGTHS = {1: struct.Struct("<H"), 2: struct.Struct("<I")}  # of the header, by the format's version


class NpyLayout(NamedTuple):
    """Shape of the array, and where its pixels begin."""

    shape: tuple[int, ...]
    start: int


def npy_layout(data: bytes | memoryview) -> NpyLayout:
    """Read what an ``.npy`` says of itself, and that it has the bytes for it.

    Raises:
        UnsupportedFormatError: not uint8, or not in C order.
        UndecodableImageError: broken, cut short, or with bytes behind its pixels.
        struct.error: it ends within its first bytes.
    """
    (version,) = struct.unpack_from("B", data, len(MAGIC))
    length = _LENGTHS.get(version)
    if length is None:
        raise UndecodableImageError(f"the npy file is of version {version}; pixels are written as 1 or 2")
    start = len(MAGIC) + 2 + length.size
    header_bytes: int = length.unpack_from(data, len(MAGIC) + 2)[0]
    if header_bytes > _MAX_HEADER_BYTES:
        raise UndecodableImageError(f"the npy file has a header of {header_bytes:,} bytes; pixels need a hundred")
    shape = _shape(bytes(data[: start + header_bytes]), version)
    start += header_bytes
    missing = start + math.prod(shape) - len(data)
    if missing:
        what = f"{missing:,} bytes are missing" if missing > 0 else f"there are {-missing:,} bytes too many"
        raise UndecodableImageError(f"the npy file says {_shown(shape)}, and {what}")
    return NpyLayout(shape, start)


def npy_size(data: bytes | memoryview) -> tuple[int, int, int, int]:
    """Width, height, orientation and channels of one picture.

    Raises:
        UndecodableImageError: other shapes; and as ``npy_layout``.
    """
    shape = npy_layout(data).shape
    if len(shape) == 4:
        raise UndecodableImageError(
            f"the npy file has the shape {_shown(shape)}; "
            "several pictures in one are taken only as a request's whole body"
        )
    return npy_size_of(shape)


def npy_size_of(shape: Sequence[int]) -> tuple[int, int, int, int]:
    """As ``npy_size``, of one picture's shape."""
    if len(shape) not in (2, 3) or (len(shape) == 3 and shape[2] not in CHANNELS):
        raise UndecodableImageError(
            f"the npy file has the shape {_shown(shape)}; a picture is (height, width) "
            "or (height, width, channels), with 1, 3 or 4 channels"
        )
    height, width = shape[:2]
    return width, height, 1, shape[2] if len(shape) == 3 else 1


@lru_cache(64)
def _shape(head: bytes, version: int) -> tuple[int, ...]:
    """What NumPy reads in everything before the pixels."""
    read = np.lib.format.read_array_header_1_0 if version == 1 else np.lib.format.read_array_header_2_0
    try:
        file = BytesIO(head)
        np.lib.format.read_magic(file)
        shape, in_fortran_order, dtype = read(file, _MAX_HEADER_BYTES)
    except Exception as error:
        raise UndecodableImageError("the npy file is broken: its header can't be read") from error
    if dtype != np.uint8:
        raise UnsupportedFormatError(f"npy with samples of {dtype} is not served; send uint8, from 0 to 255")
    if in_fortran_order:
        raise UnsupportedFormatError("npy in Fortran order is not served; save numpy.ascontiguousarray(pixels)")
    if not all(type(size) is int and 0 <= size < 2**31 for size in shape):
        raise UndecodableImageError("the npy file is broken: its shape makes no sense")
    return tuple(shape)


def _shown(shape: Sequence[int]) -> str:
    return f"({', '.join(map(str, shape))}{',' * (len(shape) == 1)})"
