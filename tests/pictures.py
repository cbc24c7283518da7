"""Awkward pictures for every test of the project, made in memory.

``ACCEPTED`` are pictures that must be served, ``REFUSED`` bytes that must not,
with the error code of each; ``oriented`` gives the eight EXIF orientations of
one visible picture. Nothing is read from disk.
"""

import io
import struct
import zlib
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

ORIENTATIONS = range(1, 9)
ORIENTED_FORMATS = ("jpeg", "png", "webp", "tiff", "avif")

# What turns an upright picture into the stored one that EXIF orientation n turns back.
_STORED: dict[int, Image.Transpose] = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}

_ORIENTED_OPTIONS: dict[str, dict[str, object]] = {
    "jpeg": {"quality": 95, "subsampling": 0},
    "webp": {"lossless": True},
    "avif": {"quality": 95},
}


def encode(image: Image.Image, name: str, **options: object) -> bytes:
    """Encode with Pillow; ``name`` is Pillow's format name in any case."""
    buffer = io.BytesIO()
    image.save(buffer, name.upper(), **options)
    return buffer.getvalue()


@cache
def picture(width: int = 64, height: int = 48) -> Image.Image:
    """A smooth colour picture without any symmetry; JPEG keeps it within a few levels."""
    x = np.linspace(0, 1, width)[None, :]
    y = np.linspace(0, 1, height)[:, None]
    red = 255 * x * (1 - 0.3 * y)
    green = 255 * y**2 + 0 * x
    blue = 180 * np.exp(-8 * ((x - 0.25) ** 2 + (y - 0.7) ** 2)) + 30 * x
    return Image.fromarray(np.stack([red, green, blue], axis=2).clip(0, 255).astype(np.uint8))


def oriented(name: str, orientation: int, upright: Image.Image | None = None) -> bytes:
    """The picture stored turned, with the EXIF tag that turns it back; lossless where the format can be."""
    image = picture() if upright is None else upright
    stored = image.transpose(_STORED[orientation]) if orientation in _STORED else image
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encode(stored, name, exif=exif.tobytes(), **_ORIENTED_OPTIONS.get(name, {}))


def png_chunk(kind: bytes, body: bytes) -> bytes:
    """One PNG chunk with its length and checksum."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_bytes(width: int, height: int, bits: int, colour_type: int, zlib_stream: bytes, extra: bytes = b"") -> bytes:
    """A PNG from its parts; ``extra`` chunks go before the pixels."""
    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0)
    chunks = png_chunk(b"IHDR", header) + extra + png_chunk(b"IDAT", zlib_stream) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def _zeros_deflated(count: int) -> bytes:
    """A whole zlib stream of ``count`` zero bytes, by repeating the deflate blocks of one MiB of them."""
    mib, rest = divmod(count, 2**20)
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = compressor.compress(bytes(2**20)) + compressor.flush(zlib.Z_FULL_FLUSH)
    last = compressor.compress(bytes(rest)) + compressor.flush(zlib.Z_FINISH)
    return b"\x78\x9c" + block * mib + last + struct.pack(">I", (count % 65521) << 16 | 1)


@cache
def png_bomb(side: int = 30_000) -> bytes:
    """A valid one-colour RGB PNG of side × side (2.7 GB of pixels in under 3 MB), made without any of them."""
    return png_bytes(side, side, 8, 2, _zeros_deflated(side * (1 + 3 * side)))


def png_16_bit_grey(width: int = 64, height: int = 48) -> bytes:
    """A horizontal ramp over all of 0 to 65,535."""
    ramp = np.linspace(0, 65535, width).round().astype(np.uint16)
    return encode(Image.fromarray(np.tile(ramp, (height, 1))), "png")


def png_16_bit_rgb(width: int = 64, height: int = 48) -> bytes:
    """Three 16-bit ramps, which Pillow can read but not write."""
    ramp = np.linspace(0, 65535, width).round().astype(">u2")
    row = b"\x00" + np.stack([ramp, ramp[::-1], ramp // 2], axis=1).astype(">u2").tobytes()
    return png_bytes(width, height, 16, 2, zlib.compress(row * height))


def with_alpha(mode: str = "RGBA") -> Image.Image:
    """Left half opaque, right half transparent over black."""
    image = picture().convert(mode.removesuffix("A"))
    alpha = Image.new("L", image.size, 0)
    alpha.paste(255, (0, 0, image.width // 2, image.height))
    black = Image.new(image.mode, image.size)
    black.paste(image, mask=alpha)
    black.putalpha(alpha)
    return black


def _palette_transparent() -> bytes:
    image = picture().quantize(16)
    return encode(image, "png", transparency=0)


def _frames(name: str, **options: object) -> bytes:
    """An animation whose first frame is ``picture()``."""
    others = [Image.new("RGB", picture().size, colour) for colour in ("red", "blue")]
    return encode(picture(), name, save_all=True, append_images=others, duration=100, **options)


def _patched(data: bytes, offset: int, replacement: bytes) -> bytes:
    return data[:offset] + replacement + data[offset + len(replacement) :]


def png_with_size(width: int, height: int) -> bytes:
    """A PNG of 64×48 pixels whose (well-formed) header claims another size."""
    rows = b"".join(b"\x00" + bytes(64 * 3) for _ in range(48))
    return png_bytes(width, height, 8, 2, zlib.compress(rows))


def jpeg_with_size(width: int, height: int) -> bytes:
    """A JPEG of 64×48 pixels whose frame header claims another size."""
    data = encode(picture(), "jpeg")
    frame = data.index(b"\xff\xc0")
    return _patched(data, frame + 5, struct.pack(">HH", height, width))


def jpeg_scan_bomb(scans: int = 2000) -> bytes:
    """A progressive JPEG that sends its last scan again and again: a pass over all pixels for a few bytes."""
    data = encode(Image.new("RGB", (64, 48), "grey"), "jpeg", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * scans + data[-2:]


def npy_of(array: NDArray[Any]) -> bytes:
    """What ``numpy.save`` writes."""
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def truncated(data: bytes, keep: float = 0.6) -> bytes:
    """The first part of a file."""
    return data[: int(len(data) * keep)]


def _known_format(name: str) -> bytes:
    return encode(picture(32, 32), name)


def _heic() -> bytes:
    return struct.pack(">I", 24) + b"ftypheic" + bytes(4) + b"mif1heic" + bytes(200)


ACCEPTED: dict[str, Callable[[], bytes]] = {
    "jpeg": lambda: encode(picture(), "jpeg", quality=95),
    "jpeg_444": lambda: encode(picture(), "jpeg", quality=95, subsampling=0),
    "jpeg_progressive": lambda: encode(picture(), "jpeg", quality=95, progressive=True),
    "jpeg_grey": lambda: encode(picture().convert("L"), "jpeg", quality=95),
    "jpeg_cmyk": lambda: encode(picture().convert("CMYK"), "jpeg", quality=95),
    "jpeg_trailing_bytes": lambda: encode(picture(), "jpeg", quality=95) + b"\x00after" * 20,
    "png": lambda: encode(picture(), "png"),
    "png_grey": lambda: encode(picture().convert("L"), "png"),
    "png_1_bit": lambda: encode(picture().convert("1"), "png"),
    "png_palette": lambda: encode(picture().quantize(64), "png"),
    "png_palette_transparent": _palette_transparent,
    "png_rgba": lambda: encode(with_alpha(), "png"),
    "png_la": lambda: encode(with_alpha("LA"), "png"),
    "png_16_bit_grey": png_16_bit_grey,
    "png_16_bit_rgb": png_16_bit_rgb,
    "apng": lambda: _frames("png"),
    "webp": lambda: encode(picture(), "webp", quality=95),
    "webp_lossless": lambda: encode(picture(), "webp", lossless=True),
    "webp_rgba": lambda: encode(with_alpha(), "webp", lossless=True, exact=True),
    "webp_animated": lambda: _frames("webp", lossless=True),
    "gif": lambda: encode(picture(), "gif"),
    "gif_animated": lambda: _frames("gif"),
    "bmp": lambda: encode(picture(), "bmp"),
    "bmp_grey": lambda: encode(picture().convert("L"), "bmp"),
    "tiff": lambda: encode(picture(), "tiff"),
    "tiff_lzw": lambda: encode(picture(), "tiff", compression="tiff_lzw"),
    "tiff_cmyk": lambda: encode(picture().convert("CMYK"), "tiff"),
    "tiff_16_bit": lambda: encode(Image.open(io.BytesIO(png_16_bit_grey())), "tiff"),
    "avif": lambda: encode(picture(), "avif", quality=95),
    "npy": lambda: npy_of(np.asarray(picture())),
    "npy_grey": lambda: npy_of(np.asarray(picture().convert("L"))),
    "npy_grey_channel": lambda: npy_of(np.asarray(picture().convert("L"))[:, :, None]),
    "npy_rgba": lambda: npy_of(np.asarray(with_alpha())),
    "npy_1x1": lambda: npy_of(np.asarray(picture(1, 1))),
    "npy_1x20000": lambda: npy_of(np.asarray(picture(1, 20_000))),
    "png_1x1": lambda: encode(picture(1, 1), "png"),
    "jpeg_1x1": lambda: encode(picture(1, 1), "jpeg"),
    "gif_1x1": lambda: encode(picture(1, 1), "gif"),
    "webp_1x1": lambda: encode(picture(1, 1), "webp"),
    "png_1x20000": lambda: encode(picture(1, 20_000), "png"),
    "png_20000x1": lambda: encode(picture(20_000, 1), "png"),
    "jpeg_1x20000": lambda: encode(picture(1, 20_000), "jpeg"),
    "jpeg_20000x1": lambda: encode(picture(20_000, 1), "jpeg"),
}
"""Name → encoded picture that must be served."""

REFUSED: dict[str, tuple[str, Callable[[], bytes]]] = {
    "empty": ("undecodable_image", lambda: b""),
    "one_byte": ("undecodable_image", lambda: b"\xff"),
    "text": ("undecodable_image", lambda: b"this is not a picture\n" * 20),
    "html": ("undecodable_image", lambda: b"<!doctype html><html><body><svg></svg>no</body></html>"),
    "json": ("undecodable_image", lambda: b'{"images": []}'),
    "pdf": ("undecodable_image", lambda: b"%PDF-1.7\n" + bytes(200)),
    "zip": ("undecodable_image", lambda: b"PK\x03\x04" + bytes(200)),
    "video": ("undecodable_image", lambda: struct.pack(">I", 24) + b"ftypisom" + bytes(4) + b"isommp42" + bytes(100)),
    "zeros": ("undecodable_image", lambda: bytes(1000)),
    "noise": ("undecodable_image", lambda: np.random.default_rng(0).bytes(1000)),
    "jpeg_start_only": ("undecodable_image", lambda: b"\xff\xd8\xff\xe0"),
    "jpeg_truncated": ("undecodable_image", lambda: truncated(encode(picture(400, 300), "jpeg"))),
    "jpeg_truncated_progressive": (
        "undecodable_image",
        lambda: truncated(encode(picture(400, 300), "jpeg", progressive=True)),
    ),
    "jpeg_truncated_header": ("undecodable_image", lambda: encode(picture(), "jpeg")[:100]),
    "jpeg_zero_size": ("undecodable_image", lambda: jpeg_with_size(0, 0)),
    "jpeg_lies": ("undecodable_image", lambda: jpeg_with_size(640, 480)),
    "jpeg_scan_bomb": ("undecodable_image", jpeg_scan_bomb),
    "png_truncated": ("undecodable_image", lambda: truncated(encode(picture(400, 300), "png"))),
    "png_signature_only": ("undecodable_image", lambda: b"\x89PNG\r\n\x1a\n"),
    "png_zero_size": ("undecodable_image", lambda: png_with_size(0, 48)),
    "png_lies": ("undecodable_image", lambda: png_with_size(640, 480)),
    "gif_truncated": ("undecodable_image", lambda: truncated(encode(picture(400, 300), "gif"))),
    "gif_truncated_header": ("undecodable_image", lambda: encode(picture(400, 300), "gif")[:200]),
    "webp_truncated": ("undecodable_image", lambda: truncated(encode(picture(400, 300), "webp", lossless=True))),
    "tiff_truncated": ("undecodable_image", lambda: truncated(encode(picture(400, 300), "tiff"))),
    "bmp_truncated": ("undecodable_image", lambda: truncated(encode(picture(400, 300), "bmp"))),
    "avif_truncated": ("undecodable_image", lambda: truncated(encode(picture(400, 300), "avif", quality=90))),
    "npy_magic_only": ("undecodable_image", lambda: npy_of(np.asarray(picture()))[:6]),
    "npy_header_alone": ("undecodable_image", lambda: npy_of(np.asarray(picture()))[:128]),
    "npy_truncated": ("undecodable_image", lambda: truncated(npy_of(np.asarray(picture())))),
    "npy_trailing_bytes": ("undecodable_image", lambda: npy_of(np.asarray(picture())) + b"x"),
    "npy_zero_size": ("undecodable_image", lambda: npy_of(np.zeros((0, 48, 3), np.uint8))),
    "npy_channels_first": ("undecodable_image", lambda: npy_of(np.zeros((3, 48, 64), np.uint8))),
    "npy_vector": ("undecodable_image", lambda: npy_of(np.zeros(64, np.uint8))),
    "npy_too_many_axes": ("undecodable_image", lambda: npy_of(np.zeros((1, 1, 4, 4, 3), np.uint8))),
    "npy_float": ("unsupported_format", lambda: npy_of(np.zeros((48, 64, 3), np.float32))),
    "npy_bool": ("unsupported_format", lambda: npy_of(np.zeros((48, 64), np.bool_))),
    "npy_pickle": ("unsupported_format", lambda: npy_of(np.array([[{}]], object))),
    "npy_fortran": ("unsupported_format", lambda: npy_of(np.asfortranarray(np.zeros((48, 64, 3), np.uint8)))),
    "png_bomb": ("image_too_large", png_bomb),
    "ico": ("unsupported_format", lambda: _known_format("ico")),
    "pcx": ("unsupported_format", lambda: _known_format("pcx")),
    "ppm": ("unsupported_format", lambda: _known_format("ppm")),
    "jpeg_2000": ("unsupported_format", lambda: _known_format("jpeg2000")),
    "eps": ("unsupported_format", lambda: _known_format("eps")),
    "tga": ("unsupported_format", lambda: _known_format("tga")),
    "psd": ("unsupported_format", lambda: b"8BPS\x00\x01" + bytes(100)),
    "heic": ("unsupported_format", _heic),
    "svg": ("unsupported_format", lambda: b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"></svg>'),
    "tiff_float": ("unsupported_format", lambda: encode(picture().convert("F"), "tiff")),
}
"""Name → error code and bytes that must be refused with it."""
