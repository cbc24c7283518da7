"""Encoded bytes → pixels, by the fastest decoder that gets them right.

JPEG (sequential, progressive, grey) goes to libjpeg-turbo through simplejpeg,
which can also decode at 1/2, 3/8, 1/4 or 1/8 for the price of less. What that
leaves (CMYK, odd but readable files) and every other format goes to Pillow; but npy has its pixels as they are.
OpenCV was measured too: quicker on WebP alone, and it prints to stderr on
files that are fine.

What a file means here, the same for every format:

- EXIF orientation is applied once, whichever library decoded (Pillow turns a
  TIFF by itself and nothing else; this module knows).
- Transparency is laid over white, as a page shows it. Dropping alpha would
  show whatever colour hides beneath, often black.
- 16-bit samples keep their high byte. (Pillow's own conversion of 16-bit grey
  clips everything above 255 to white.)
- Of an animation, the first frame. ICC profiles are ignored.

A truncated file is refused, never filled with grey. Each foreign exception
becomes one of ``PictureError`` here. simplejpeg and Pillow's codecs release
the GIL while they decode.
"""

from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from io import BytesIO

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from model_zoo.errors import ImageTooLargeError, PictureError, UndecodableImageError, UnsupportedFormatError
from model_zoo.header import Header
from model_zoo.spec import Colour

Pixels = NDArray[np.uint8]

CACHED_SIZES = 1024  # pictures tend to come in the sizes of a few cameras: what follows from one is worked out once

# The classes are called directly: Image.open would judge the size by a process-wide setting.
_PLUGINS: dict[str, tuple[str, str]] = {
    "jpeg": ("PIL.JpegImagePlugin", "JpegImageFile"),
    "png": ("PIL.PngImagePlugin", "PngImageFile"),
    "webp": ("PIL.WebPImagePlugin", "WebPImageFile"),
    "bmp": ("PIL.BmpImagePlugin", "BmpImageFile"),
    "gif": ("PIL.GifImagePlugin", "GifImageFile"),
    "tiff": ("PIL.TiffImagePlugin", "TiffImageFile"),
    "avif": ("PIL.AvifImagePlugin", "AvifImageFile"),
}
_CMYK_COMPONENTS = 4
# libjpeg's warnings after which it makes up pixels (Pillow ignores them).
_JPEG_DAMAGE = ("premature end", "bad huffman code", "found marker")
_OPAQUE_MODES = frozenset({"1", "L", "P", "RGB", "RGBX", "CMYK", "YCbCr"})
_ALPHA_MODES = frozenset({"LA", "La", "PA", "RGBA", "RGBa"})


def decode(
    data: bytes | memoryview, header: Header, *, colour: Colour, min_shorter_side: int | None = None
) -> NDArray[np.uint8]:
    """Decode a whole picture, upright.

    Args:
        data: the encoded picture.
        header: what ``read_header`` said of it.
        colour: ``rgb`` or ``grey`` (ITU-R 601 luma).
        min_shorter_side: lets a JPEG come back smaller, its shorter side still at least this many px.
    Returns:
        uint8, (H, W, 3) or (H, W, 1), C-contiguous, EXIF applied.
    Raises:
        UndecodableImageError: broken, truncated, or not the size that its header said.
        UnsupportedFormatError: samples that have no plain 8-bit meaning (float, 32-bit, Lab).
        ImageTooLargeError: it does not fit in memory.
    """
    pixels = decode_stored(data, header, colour, min_shorter_side)
    array = pixels if isinstance(pixels, np.ndarray) else to_array(pixels)
    return turn_upright(array, pending_orientation(header))


def decode_stored(
    data: bytes | memoryview, header: Header, colour: Colour, min_shorter_side: int | None = None
) -> Pixels | Image.Image:
    """Decode without turning: an array from simplejpeg or npy, which may be read-only; an RGB or L image from Pillow.

    What is left to turn is ``pending_orientation(header)``. Raises as ``decode``.
    """
    if header.format == "jpeg":
        array = _decode_jpeg(data, header, colour, min_shorter_side or 0)
        if array is not None:
            return array
    if header.format == "npy":
        return _pixels_of_npy(data, header, colour)
    return _decode_pillow(data, header, colour)


def pending_orientation(header: Header) -> int:
    """The EXIF orientation that ``decode_stored`` leaves to apply: Pillow has turned a TIFF already."""
    return 1 if header.format == "tiff" else header.orientation


def upright_view(array: Pixels, orientation: int) -> Pixels:
    """(H, W, C) turned by an EXIF orientation, as a view that copies nothing."""
    if orientation >= 5:
        array = array.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    return array


def turn_upright(array: Pixels, orientation: int) -> Pixels:
    """(H, W, C) turned by an EXIF orientation; contiguous, a copy only when it turns."""
    return np.ascontiguousarray(upright_view(array, orientation))


def to_array(image: Image.Image) -> Pixels:
    """An RGB image as (H, W, 3), an L image as (H, W, 1)."""
    width, height = image.size
    return np.frombuffer(image.tobytes(), np.uint8).reshape(height, width, len(image.getbands()))


def _decode_jpeg(data: bytes | memoryview, header: Header, colour: Colour, min_side: int) -> Pixels | None:
    """None where Pillow should have a look: CMYK, or an oddity that costs no pixel, as stray bytes."""
    if header.components == _CMYK_COMPONENTS:
        return None
    try:
        array: Pixels = simplejpeg.decode_jpeg(
            data,
            "GRAY" if colour == "grey" else "RGB",
            min_height=min_side,
            min_width=min_side,
            min_factor=2 if min_side else 1,  # scales between 1 and 1/2 have no SIMD code
        )
    except ValueError as error:
        if any(damage in str(error).lower() for damage in _JPEG_DAMAGE):
            raise UndecodableImageError(f"the jpeg file is truncated or damaged: {error}") from error
        return None
    if jpeg_scale(array, header) is None or (not min_side and array.shape[:2] != (header.height, header.width)):
        raise _wrong_size(header, array.shape[1], array.shape[0])
    return array


def jpeg_scale(array: Pixels, header: Header) -> int | None:
    """At how many eighths of its stored size a JPEG was decoded; None when at none of them."""
    return _scales(header.width, header.height).get(array.shape[:2])


@lru_cache(CACHED_SIZES)
def _scales(width: int, height: int) -> dict[tuple[int, ...], int]:
    """(height, width) → eighths; where two scales of a tiny picture are alike, the larger."""
    return {(-(-height * eighths // 8), -(-width * eighths // 8)): eighths for eighths in (1, 2, 3, 4, 8)}


def _decode_pillow(data: bytes | memoryview, header: Header, colour: Colour) -> Image.Image:
    module, name = _PLUGINS[header.format]
    try:
        plugin: Callable[[BytesIO], Image.Image] = getattr(import_module(module), name)
        image = plugin(BytesIO(data))
        image.load()
        expected = header.upright_size if header.format == "tiff" else (header.width, header.height)
        if image.size != expected:
            raise _wrong_size(header, *image.size)
        return _to_8_bit(image, header.format, "L" if colour == "grey" else "RGB")
    except PictureError:
        raise
    except (MemoryError, Image.DecompressionBombError) as error:
        raise ImageTooLargeError(f"the {header.format} picture does not fit in memory: {error}") from error
    except Exception as error:
        raise UndecodableImageError(f"the {header.format} file is broken: {error}") from error


def _pixels_of_npy(data: bytes | memoryview, header: Header, colour: Colour) -> Pixels | Image.Image:
    """The last bytes, as they lie there, where they are of the colour asked for."""
    height, width, channels = header.height, header.width, header.components
    start = len(data) - height * width * channels
    if start < 0:
        raise UndecodableImageError(f"the npy file has fewer bytes than {width}×{height} pixels")
    array = np.frombuffer(data, np.uint8, offset=start).reshape(height, width, channels)
    if channels == (1 if colour == "grey" else 3):
        return array
    image = Image.fromarray(array[:, :, 0] if channels == 1 else array)
    return _to_8_bit(image, header.format, "L" if colour == "grey" else "RGB")


def _to_8_bit(image: Image.Image, name: str, mode: str) -> Image.Image:
    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    elif image.mode in _ALPHA_MODES or "transparency" in image.info:
        image = _over_white(image)
    elif image.mode not in _OPAQUE_MODES:
        raise UnsupportedFormatError(f"{name} with samples of kind '{image.mode}' is not served; save it with 8 bits")
    return image if image.mode == mode else image.convert(mode)


def _over_white(image: Image.Image) -> Image.Image:
    layers = image if image.mode == "RGBA" else image.convert("RGBA")
    alpha = layers.getchannel("A")
    if alpha.getextrema() == (255, 255):
        return layers.convert("RGB")
    page = Image.new("RGB", layers.size, "white")
    page.paste(layers, mask=alpha)
    return page


def _wrong_size(header: Header, width: int, height: int) -> UndecodableImageError:
    return UndecodableImageError(
        f"the {header.format} file says {header.width}×{header.height} pixels in its header and holds {width}×{height}"
    )
