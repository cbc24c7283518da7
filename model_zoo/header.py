"""What a picture says of itself, read before a pixel is allocated.

Every route reads the header first: what is too large, not served or no
picture at all is refused for a few microseconds and no memory.
"""

import math
import struct
from dataclasses import dataclass
from typing import NamedTuple

from model_zoo.errors import ImageTooLargeError, PictureError, UndecodableImageError, UnsupportedFormatError
from model_zoo.magic import FORMATS, identify
from model_zoo.npy import MAGIC, npy_layout, npy_size_of
from model_zoo.stored_size import STORED_SIZE

MAX_SIDE_PX = 65_535  # the longest side a JPEG or GIF can have; decoders keep a pointer per row


class Header(NamedTuple):
    """Format and stored size of a picture.

    ``width`` and ``height`` are as stored, before EXIF turns the picture;
    ``orientation`` is EXIF's, 1 to 8, and 1 when the file has none; ``components``
    are those of a JPEG's or npy's pixel, 0 for other formats. (A tuple: one for every
    picture, and a frozen dataclass takes twice as long to make.)
    """

    format: str
    width: int
    height: int
    orientation: int
    components: int = 0

    @property
    def upright_size(self) -> tuple[int, int]:
        """Width and height as a person sees the picture."""
        turned = self.orientation >= 5
        return (self.height, self.width) if turned else (self.width, self.height)


@dataclass(frozen=True, slots=True)
class PictureLimits:
    """The largest picture that is accepted.

    ``max_bytes`` counts the encoded file, ``max_pixels`` width × height.
    Decoding takes 4 to 16 bytes a pixel for a moment, by format: 50 million
    pixels can take 800 MB when they come as WebP, 150 MB as JPEG.
    """

    max_bytes: int = 20 * 2**20
    max_pixels: int = 50_000_000


def read_header(data: bytes | memoryview, limits: PictureLimits) -> Header:
    """Read format, stored size and EXIF orientation; allocate no pixels.

    Args:
        data: a whole encoded picture.
    Raises:
        ImageTooLargeError: more bytes, more pixels or a longer side than allowed.
        UnsupportedFormatError: an image format that is not served; the message names it.
        UndecodableImageError: empty, no image, or a header that makes no sense.
    """
    if len(data) == 0:
        raise UndecodableImageError("the picture is empty (0 bytes)")
    _check_bytes(len(data), limits)
    found = identify(data)
    if found is None:
        raise UndecodableImageError(f"not a picture; send one of {', '.join(FORMATS)}")
    name, enabled = found
    if not enabled:
        raise UnsupportedFormatError(f"{name} pictures are not served; send one of {', '.join(FORMATS)}")
    try:
        header = Header(name, *STORED_SIZE[name](data))
    except struct.error as error:
        raise UndecodableImageError(f"the {name} file ends within its header") from error
    _check_size(name, header.width, header.height, limits)
    return header


class NpyPictures(NamedTuple):
    """What an ``.npy`` of several pictures of one size says; ``pixels`` are all of theirs, one after the other."""

    pictures: int
    header: Header
    pixels: memoryview


def read_npy_pictures(data: bytes, limits: PictureLimits) -> NpyPictures | None:
    """Read the header of an ``.npy`` of several pictures.

    Returns:
        None where it is no such file: ``read_header`` says what it is instead.
    Raises:
        ImageTooLargeError, UndecodableImageError: as ``read_header``, of each of them.
    """
    if not data.startswith(MAGIC):
        return None
    try:
        (count, *shape), start = npy_layout(data)
    except (PictureError, struct.error, ValueError):
        return None
    if len(shape) != 3:
        return None
    _check_bytes(math.prod(shape), limits)
    header = Header("npy", *npy_size_of(shape))
    _check_size(header.format, header.width, header.height, limits)
    return NpyPictures(count, header, memoryview(data)[start:])


def _check_bytes(size: int, limits: PictureLimits) -> None:
    if size > limits.max_bytes:
        raise ImageTooLargeError(f"the picture has {size:,} bytes; the limit is {limits.max_bytes:,}")


def _check_size(name: str, width: int, height: int, limits: PictureLimits) -> None:
    if width < 1 or height < 1:
        raise UndecodableImageError(f"the {name} file says its size is {width}×{height} pixels")
    if width > MAX_SIDE_PX or height > MAX_SIDE_PX:
        raise ImageTooLargeError(f"the picture is {width}×{height}; the longest side allowed is {MAX_SIDE_PX:,} px")
    if width * height > limits.max_pixels:
        raise ImageTooLargeError(
            f"the picture is {width}×{height} = {width * height:,} pixels; the limit is {limits.max_pixels:,}"
        )
