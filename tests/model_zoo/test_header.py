"""Headers against Pillow's, limits, and memory that stays flat."""

import io
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from model_zoo.errors import ImageTooLargeError, PictureError, UndecodableImageError, UnsupportedFormatError
from model_zoo.header import MAX_SIDE_PX, Header, PictureLimits, read_header
from model_zoo.stored_size import MAX_STEPS
from tests.pictures import (
    ACCEPTED,
    ORIENTATIONS,
    ORIENTED_FORMATS,
    REFUSED,
    encode,
    oriented,
    picture,
    png_bomb,
    png_bytes,
    png_chunk,
)

LIMITS = PictureLimits()
BOUNDLESS = PictureLimits(max_bytes=2**40, max_pixels=2**40)

ICO = REFUSED["ico"][1]()


def webp_with_canvas(width: int, height: int, flags: int = 0, chunks: bytes = b"") -> bytes:
    """An extended WebP of any canvas, without a picture in it."""
    canvas = struct.pack("<I", flags) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    body = b"WEBPVP8X" + struct.pack("<I", 10) + canvas + chunks
    return b"RIFF" + struct.pack("<I", len(body)) + body


def tiff_with_size(width: int, height: int, extra: tuple[int, int] | None = None) -> bytes:
    entries = [(0x0100, width), (0x0101, height), *([extra] if extra else [])]
    body = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries)
    return b"II*\x00" + struct.pack("<IH", 8, len(entries)) + body + bytes(4)


@pytest.mark.parametrize(("name", "components"), [("jpeg", 3), ("jpeg_grey", 1), ("jpeg_cmyk", 4), ("png", 0)])
def test_a_jpeg_tells_how_many_components_a_pixel_has(name: str, components: int) -> None:
    assert read_header(ACCEPTED[name](), LIMITS).components == components


@pytest.mark.parametrize("name", [name for name in ACCEPTED if not name.startswith("npy")])
def test_format_and_size_as_pillow_sees_them(name: str) -> None:
    data = ACCEPTED[name]()
    with Image.open(io.BytesIO(data)) as image:
        expected = (str(image.format).lower(), *image.size)
    header = read_header(data, LIMITS)
    assert (header.format, header.width, header.height) == expected
    assert header.orientation == 1
    assert read_header(memoryview(data), LIMITS) == header


@pytest.mark.parametrize("name", ORIENTED_FORMATS)
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_orientation_and_stored_size(name: str, orientation: int) -> None:
    header = read_header(oriented(name, orientation, picture(60, 40)), LIMITS)
    assert (header.width, header.height) == ((40, 60) if orientation >= 5 else (60, 40))
    assert header.orientation == orientation
    assert header.upright_size == (60, 40)


@pytest.mark.parametrize("name", REFUSED)
def test_a_header_is_read_or_refused_and_nothing_else(name: str) -> None:
    code, make = REFUSED[name]
    try:
        header = read_header(make(), LIMITS)
    except PictureError as error:
        assert error.code == code
    else:
        assert header.width * header.height <= LIMITS.max_pixels


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("ico", "ICO"),
        ("pcx", "PCX"),
        ("ppm", "PNM"),
        ("jpeg_2000", "JPEG 2000"),
        ("eps", "EPS"),
        ("tga", "TGA"),
        ("psd", "PSD"),
        ("heic", "HEIC"),
        ("svg", "SVG"),
    ],
)
def test_a_format_that_is_not_served_is_named(name: str, word: str) -> None:
    with pytest.raises(UnsupportedFormatError, match=word):
        read_header(REFUSED[name][1](), LIMITS)


@pytest.mark.parametrize(
    ("start", "word"),
    [
        (b"\x00\x00\x02\x00\x01\x00", "CUR"),
        (b"\xff\x0a", "JPEG XL"),
        (b"\x00\x00\x00\x0cJXL \r\n\x87\n", "JPEG XL"),
        (b"\x8aMNG\r\n\x1a\n", "MNG"),
        (b"II+\x00", "BigTIFF"),
        (b"II*\x00\x10\x00\x00\x00CR\x02\x00", "raw"),
        (b"qoif", "QOI"),
        (b"\x76\x2f\x31\x01", "OpenEXR"),
        (b"gimp xcf", "XCF"),
        (b"\x00\x00\x00\x1cftypmif1\x00\x00\x00\x00mif1heic", "HEIC"),
    ],
)
def test_other_formats_by_their_first_bytes(start: bytes, word: str) -> None:
    with pytest.raises(UnsupportedFormatError, match=word):
        read_header(start + bytes(100), LIMITS)


def test_a_dng_is_a_raw_file_and_not_its_thumbnail() -> None:
    with pytest.raises(UnsupportedFormatError, match="raw"):
        read_header(tiff_with_size(160, 120, extra=(0xC612, 0x00000401)), LIMITS)


def test_avif_by_its_compatible_brands() -> None:
    data = ACCEPTED["avif"]()
    renamed = data.replace(b"ftypavif", b"ftypmif1", 1)
    assert read_header(renamed, LIMITS).format == "avif"


def test_more_bytes_than_allowed() -> None:
    data = ACCEPTED["jpeg"]()
    assert read_header(data, PictureLimits(max_bytes=len(data))).format == "jpeg"
    with pytest.raises(ImageTooLargeError, match="bytes"):
        read_header(data, PictureLimits(max_bytes=len(data) - 1))


def test_more_pixels_than_allowed() -> None:
    assert read_header(ACCEPTED["png"](), PictureLimits(max_pixels=64 * 48)).width == 64
    with pytest.raises(ImageTooLargeError, match="64×48 = 3,072 pixels; the limit is 3,071"):
        read_header(ACCEPTED["png"](), PictureLimits(max_pixels=64 * 48 - 1))


def test_a_side_no_decoder_should_be_asked_for() -> None:
    pixels = zlib.compress(bytes(100))
    assert read_header(png_bytes(MAX_SIDE_PX, 1, 8, 0, pixels), LIMITS).width == MAX_SIDE_PX
    with pytest.raises(ImageTooLargeError, match="longest side"):
        read_header(png_bytes(1, MAX_SIDE_PX + 1, 8, 0, pixels), LIMITS)


@pytest.mark.parametrize("size", [(0, 0), (0, 5), (5, 0)])
def test_zero_sizes_are_refused(size: tuple[int, int]) -> None:
    gif = b"GIF89a" + struct.pack("<HHBBB", *size, 0, 0, 0) + b"," + struct.pack("<HHHHB", 0, 0, *size, 0)
    bmp = b"BM" + bytes(12) + struct.pack("<Iii", 40, *size) + bytes(40)
    for data in (gif, bmp, tiff_with_size(*size), png_bytes(*size, 8, 0, b"")):
        with pytest.raises(UndecodableImageError):
            read_header(data, LIMITS)


def test_a_gif_frame_larger_than_its_screen_counts() -> None:
    frame = b"," + struct.pack("<HHHHB", 10, 20, 60_000, 60_000, 0)
    data = b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0, 0, 0) + b"!\xfe\x03abc\x00" + frame
    assert read_header(data, BOUNDLESS) == Header("gif", 60_010, 60_020, 1)
    with pytest.raises(ImageTooLargeError):
        read_header(data, LIMITS)


def test_a_bmp_with_its_rows_from_the_top() -> None:
    data = b"BM" + bytes(12) + struct.pack("<Iii", 40, 7, -5) + bytes(40)
    assert read_header(data, LIMITS) == Header("bmp", 7, 5, 1)


def test_png_exif_after_the_pixels_is_not_looked_for() -> None:
    exif = png_chunk(
        b"eXIf", b"II*\x00\x08\x00\x00\x00\x01\x00\x12\x01\x03\x00\x01\x00\x00\x00\x06\x00\x00\x00" + bytes(4)
    )
    pixels = zlib.compress(b"\x00\x07")
    before = png_bytes(1, 1, 8, 0, pixels, extra=exif)
    plain = png_bytes(1, 1, 8, 0, pixels)
    after = plain[:-12] + exif + plain[-12:]
    assert read_header(before, LIMITS).orientation == 6
    assert read_header(after, LIMITS).orientation == 1


def test_webp_exif_comes_after_the_pixels() -> None:
    exif = b"MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x08\x00\x00" + bytes(4)
    odd = b"VP8L" + struct.pack("<I", 3) + b"abc\x00"
    data = webp_with_canvas(70_000 // 2, 2, 0x08, odd + b"EXIF" + struct.pack("<I", len(exif)) + exif)
    assert read_header(data, LIMITS) == Header("webp", 35_000, 2, 8)


@pytest.mark.parametrize(
    "make",
    [
        lambda: b"\xff\xd8" + b"\xff\xe0\x00\x02" * 2_000_000,
        lambda: b"\xff\xd8\xff" + b"\xff" * 2_000_000,
        lambda: b"\xff\xd8\xff\xe0\x00\x02" + b"\x00" * 2_000_000,
        lambda: b"GIF89a" + bytes(7) + b"!\xfe" + b"\x01a" * 2_000_000,
        lambda: b"GIF89a" + bytes(7) + b"\x00" * 2_000_000,
    ],
    ids=["segments", "fill", "junk", "comments", "gap"],
)
def test_headers_without_end_are_given_up(make: Callable[[], bytes]) -> None:
    with pytest.raises(UndecodableImageError):
        read_header(make(), LIMITS)


def test_png_chunks_without_end_cost_a_bounded_walk() -> None:
    chunk = png_chunk(b"tEXt", b"")
    data = png_bytes(3, 4, 8, 0, b"", extra=chunk * (2 * MAX_STEPS))
    assert read_header(data, LIMITS) == Header("png", 3, 4, 1)


@given(
    st.binary(max_size=300), st.sampled_from([b"", b"\xff\xd8\xff", b"GIF89a", b"BM", b"II*\x00", b"\x89PNG\r\n\x1a\n"])
)
def test_any_bytes_are_read_or_refused(noise: bytes, start: bytes) -> None:
    try:
        header = read_header(start + noise, LIMITS)
    except PictureError as error:
        assert error.code in {"undecodable_image", "unsupported_format", "image_too_large"}
    else:
        assert 1 <= header.orientation <= 8


@given(
    st.sampled_from(["jpeg", "png", "webp", "gif", "bmp", "tiff", "npy"]),
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=4),
)
def test_altered_headers_are_read_or_refused(name: str, changes: list[tuple[int, int]]) -> None:
    data = bytearray(ACCEPTED[name]())
    for position, value in changes:
        data[position % len(data)] = value
    try:
        header = read_header(bytes(data), LIMITS)
    except PictureError:
        return
    assert 0 < header.width * header.height <= LIMITS.max_pixels


SEGMENT = st.tuples(st.sampled_from([0xE0, 0xE2, 0xEC, 0xED, 0xFE]), st.binary(max_size=40))


@given(st.lists(SEGMENT, max_size=6), st.integers(1, 8), st.booleans(), st.integers(0, 3))
def test_jpeg_segments_as_pillow_reads_them(
    segments: list[tuple[int, bytes]], orientation: int, after: bool, fill: int
) -> None:
    data = encode(picture(24, 16), "jpeg")
    exif = Image.Exif()
    exif[0x0112] = orientation
    ours = [(0xE1, b"Exif\x00\x00" + exif.tobytes().removeprefix(b"Exif\x00\x00"))]
    parts = [*segments, *ours] if after else [*ours, *segments]
    inserted = b"".join(
        b"\xff" * fill + struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body for marker, body in parts
    )
    whole = data[:2] + inserted + data[2:]
    header = read_header(whole, LIMITS)
    with Image.open(io.BytesIO(whole)) as image:
        assert image.size == (header.width, header.height)
        assert image.getexif()[0x0112] == header.orientation == orientation


HIGH_WATER = """
import sys
from model_zoo.header import PictureLimits, read_header
from PIL import AvifImagePlugin
def high_water_kib():
    return int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0])
data = sys.stdin.buffer.read()
before = high_water_kib()
header = read_header(data, PictureLimits(2**40, 2**40))
print(header.width, header.height, high_water_kib() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
@pytest.mark.parametrize(
    ("make", "size"),
    [
        (png_bomb, (30_000, 30_000)),
        (lambda: webp_with_canvas(16_000, 16_000), (16_000, 16_000)),
        (lambda: tiff_with_size(30_000, 30_000), (30_000, 30_000)),
        (lambda: encode(Image.new("RGB", (4000, 3000), "teal"), "avif", speed=10), (4000, 3000)),
        (lambda: encode(Image.new("RGB", (4000, 3000), "teal"), "jpeg"), (4000, 3000)),
    ],
    ids=["png", "webp", "tiff", "avif", "jpeg"],
)
def test_reading_a_header_allocates_no_pixels(make: Callable[[], bytes], size: tuple[int, int]) -> None:
    done = subprocess.run([sys.executable, "-c", HIGH_WATER], input=make(), capture_output=True, check=True)
    width, height, grown_kib = map(int, done.stdout.split())
    assert (width, height) == size
    assert grown_kib < 4096
