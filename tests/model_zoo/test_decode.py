"""Pixels against Pillow's, and everything broken refused in one way."""

import io
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageOps

from model_zoo.decode import decode, turn_upright
from model_zoo.errors import ImageTooLargeError, PictureError, UndecodableImageError
from model_zoo.header import Header, PictureLimits, read_header
from model_zoo.spec import Colour
from tests.pictures import (
    ACCEPTED,
    ORIENTATIONS,
    ORIENTED_FORMATS,
    REFUSED,
    encode,
    oriented,
    picture,
    png_16_bit_grey,
    png_bytes,
    with_alpha,
)

LIMITS = PictureLimits()
LOSSLESS = ["npy", "png", "apng", "webp_lossless", "webp_animated", "bmp", "tiff", "tiff_lzw"]
LOSSY = ["jpeg", "jpeg_444", "jpeg_progressive", "jpeg_cmyk", "jpeg_trailing_bytes", "webp", "avif", "tiff_cmyk"]
FEW_COLOURS = ["gif", "gif_animated", "png_palette"]
GREY = ["png_grey", "bmp_grey", "jpeg_grey"]


def pixels(data: bytes, colour: Colour = "rgb", min_shorter_side: int | None = None) -> NDArray[np.uint8]:
    return decode(data, read_header(data, LIMITS), colour=colour, min_shorter_side=min_shorter_side)


def mean_difference(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    return float(np.abs(a.astype(int) - b).mean())


@pytest.mark.parametrize("name", LOSSLESS)
def test_lossless_formats_give_the_very_pixels(name: str) -> None:
    assert np.array_equal(pixels(ACCEPTED[name]()), np.asarray(picture()))


@pytest.mark.parametrize(("name", "levels"), [*((name, 3.0) for name in LOSSY), *((name, 8.0) for name in FEW_COLOURS)])
def test_lossy_formats_give_nearly_those(name: str, levels: float) -> None:
    assert mean_difference(pixels(ACCEPTED[name]()), np.asarray(picture())) < levels


@pytest.mark.parametrize("name", GREY)
def test_grey_pictures_come_in_three_equal_channels(name: str) -> None:
    rgb = pixels(ACCEPTED[name]())
    assert np.array_equal(rgb[:, :, 0], rgb[:, :, 1])
    assert np.array_equal(rgb[:, :, 0], rgb[:, :, 2])
    assert mean_difference(rgb[:, :, 0], np.asarray(picture().convert("L"))) < 1.5


@pytest.mark.parametrize("name", [*LOSSLESS, *LOSSY, *GREY])
def test_grey_on_demand_is_luma(name: str) -> None:
    data = ACCEPTED[name]()
    grey = pixels(data, "grey")
    luma = np.asarray(Image.fromarray(pixels(data)).convert("L"))[:, :, None]
    assert grey.shape == luma.shape == (48, 64, 1)
    assert mean_difference(grey, luma) < 1


@pytest.mark.parametrize("name", ACCEPTED)
def test_every_accepted_picture_has_the_size_of_its_header(name: str) -> None:
    data = ACCEPTED[name]()
    header = read_header(data, LIMITS)
    for colour, channels in (("rgb", 3), ("grey", 1)):
        array = decode(memoryview(data), header, colour="rgb" if colour == "rgb" else "grey")
        assert array.shape == (header.height, header.width, channels)
        assert array.dtype == np.uint8
        assert array.flags.c_contiguous


@pytest.mark.parametrize("name", ["jpeg", "jpeg_444", "jpeg_progressive", "jpeg_grey"])
def test_jpeg_pixels_are_pillows(name: str) -> None:
    data = ACCEPTED[name]()
    with Image.open(io.BytesIO(data)) as image:
        assert np.abs(pixels(data).astype(int) - np.asarray(image.convert("RGB"))).max() <= 1


@pytest.mark.parametrize("name", ORIENTED_FORMATS)
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_exif_is_applied_exactly_once(name: str, orientation: int) -> None:
    data = oriented(name, orientation, picture(60, 40))
    with Image.open(io.BytesIO(data)) as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    array = pixels(data)
    assert np.abs(array.astype(int) - expected).max() <= 1
    assert mean_difference(array, np.asarray(picture(60, 40))) < 3
    assert array.flags.c_contiguous


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_turning_is_pillows(orientation: int) -> None:
    stored = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    image = Image.fromarray(stored)
    image.getexif()[0x0112] = orientation
    assert np.array_equal(turn_upright(stored, orientation), np.asarray(ImageOps.exif_transpose(image)))


@pytest.mark.parametrize("name", ["png_16_bit_grey", "tiff_16_bit"])
@pytest.mark.parametrize("colour", ["rgb", "grey"])
def test_16_bit_grey_is_scaled_and_not_clipped(name: str, colour: Colour) -> None:
    expected = np.linspace(0, 65535, 64).round() / 257
    assert np.abs(pixels(ACCEPTED[name](), colour)[0, :, 0] - expected).max() <= 1
    assert png_16_bit_grey()[24] == 16


def test_16_bit_colour_is_scaled() -> None:
    ramp = np.linspace(0, 65535, 64).round() / 257
    row = pixels(ACCEPTED["png_16_bit_rgb"]())[0]
    assert np.abs(row - np.stack([ramp, ramp[::-1], ramp / 2], axis=1)).max() <= 1


@pytest.mark.parametrize("name", ["png_rgba", "webp_rgba", "png_la"])
def test_transparency_is_laid_over_white(name: str) -> None:
    original = picture().convert("L") if name == "png_la" else picture()
    expected = np.asarray(original.convert("RGB")).copy()
    expected[:, 32:] = 255
    assert np.array_equal(pixels(ACCEPTED[name]()), expected)


def test_half_transparent_is_half_white() -> None:
    image = with_alpha()
    image.putalpha(128)
    array = pixels(encode(image, "png"))
    opaque = np.asarray(image.convert("RGB")).astype(float)
    assert np.abs(array - (opaque * 128 + 255 * 127) / 255).max() <= 1


def test_a_transparent_palette_entry_is_white() -> None:
    data = ACCEPTED["png_palette_transparent"]()
    with Image.open(io.BytesIO(data)) as image:
        hidden = np.asarray(image) == 0
    assert hidden.any()
    assert (pixels(data)[hidden] == 255).all()


def test_of_an_animation_the_first_frame() -> None:
    first = np.asarray(picture())
    for name in ("apng", "webp_animated"):
        assert np.array_equal(pixels(ACCEPTED[name]()), first)
    assert np.array_equal(pixels(ACCEPTED["gif_animated"]()), pixels(ACCEPTED["gif"]()))


def test_stray_bytes_before_a_marker_are_forgiven() -> None:
    data = ACCEPTED["jpeg"]()
    assert np.array_equal(pixels(data[:-2] + b"\x00\x01\x02" + data[-2:]), pixels(data))


@pytest.mark.parametrize("name", REFUSED)
def test_what_must_be_refused_is_refused_with_its_code(name: str) -> None:
    code, make = REFUSED[name]
    with pytest.raises(PictureError) as caught:
        pixels(make())
    assert caught.value.code == code
    assert str(caught.value)


@given(
    st.sampled_from(["jpeg", "jpeg_progressive", "jpeg_cmyk", "png", "webp", "bmp", "gif", "npy"]),
    st.integers(1, 10_000),
)
@settings(deadline=None)
def test_cut_anywhere_it_is_refused(name: str, cut: int) -> None:
    data = ACCEPTED[name]()
    keep = len(data) - 1 - cut % (len(data) - 1)
    if name == "gif" and keep >= len(data) - 2:  # the end mark of a GIF holds no pixel
        return
    if name == "png" and keep >= len(data) - 16:  # nor does IEND, nor the last checksum
        return
    with pytest.raises(UndecodableImageError):
        pixels(data[:keep])


@pytest.mark.filterwarnings("default")
@given(
    st.sampled_from([name for name in ACCEPTED if "20000" not in name and "tiff" not in name]),
    st.lists(st.tuples(st.integers(0, 100_000), st.integers(0, 255)), min_size=1, max_size=5),
)
@settings(deadline=None, max_examples=200)
def test_altered_files_give_pixels_or_one_of_our_errors(name: str, changes: list[tuple[int, int]]) -> None:
    data = bytearray(ACCEPTED[name]())
    for position, value in changes:
        data[position % len(data)] = value
    try:
        header = read_header(bytes(data), PictureLimits(max_pixels=1_000_000))
        array = decode(bytes(data), header, colour="rgb")
    except PictureError:
        return
    assert (array.shape[1], array.shape[0]) == header.upright_size


@pytest.mark.parametrize("name", ["jpeg", "jpeg_cmyk", "png", "gif", "tiff", "bmp", "webp"])
def test_a_file_of_another_size_than_its_header_is_refused(name: str) -> None:
    with pytest.raises(UndecodableImageError, match="65×48"):
        decode(ACCEPTED[name](), Header(name.split("_")[0], 65, 48, 1), colour="rgb")


def test_a_picture_that_memory_cannot_hold_is_too_large() -> None:
    data = png_bytes(2**30, 2**30, 8, 2, b"")
    with pytest.raises(ImageTooLargeError):
        decode(data, Header("png", 2**30, 2**30, 1), colour="rgb")


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize(
    ("wanted", "size"), [(None, (800, 600)), (301, (800, 600)), (300, (400, 300)), (150, (200, 150)), (1, (100, 75))]
)
def test_a_smaller_decode_keeps_the_side_it_must(wanted: int | None, size: tuple[int, int], progressive: bool) -> None:
    image = picture(800, 600)
    array = pixels(encode(image, "jpeg", quality=95, progressive=progressive), min_shorter_side=wanted)
    assert (array.shape[1], array.shape[0]) == size
    assert mean_difference(array, np.asarray(image.resize(size, Image.Resampling.BOX))) < 2


def test_many_threads_decode_alike() -> None:
    names = [name for name in ACCEPTED if "20000" not in name] * 4
    files = [ACCEPTED[name]() for name in names]
    alone = [pixels(data) for data in files]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(pixels, files))
    assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))
