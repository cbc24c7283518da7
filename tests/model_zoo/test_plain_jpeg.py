"""Which JPEGs a device's decoder is given."""

import struct

import numpy as np
import pytest
import simplejpeg
from hypothesis import given
from hypothesis import strategies as st

from model_zoo.plain_jpeg import is_plain_jpeg
from tests.pictures import encode, oriented, picture

PIXELS = np.asarray(picture())


def jpeg(**options: object) -> bytes:
    return encode(picture(), "jpeg", **options)


def with_segment(data: bytes, marker: int, payload: bytes) -> bytes:
    """Behind the first marker."""
    return data[:2] + struct.pack(">BBH", 0xFF, marker, len(payload) + 2) + payload + data[2:]


def frame_at(data: bytes) -> int:
    return data.index(b"\xff\xc0\x00\x11")


@pytest.mark.parametrize("colours", ["444", "422", "420"])
def test_photos_of_every_ordinary_kind_are(colours: str) -> None:
    assert is_plain_jpeg(simplejpeg.encode_jpeg(PIXELS, colorsubsampling=colours))


def test_grey_ones_tables_that_were_optimised_restarts_and_remarks_are() -> None:
    assert is_plain_jpeg(encode(picture().convert("L"), "jpeg"))
    assert is_plain_jpeg(jpeg(optimize=True))
    assert is_plain_jpeg(jpeg(restart_marker_blocks=2))
    assert is_plain_jpeg(with_segment(jpeg(), 0xFE, b"a remark"))
    assert is_plain_jpeg(memoryview(jpeg()))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_those_with_an_orientation_are(orientation: int) -> None:
    assert is_plain_jpeg(oriented("jpeg", orientation))


def test_progressive_ones_four_colours_and_other_samplings_are_not() -> None:
    assert not is_plain_jpeg(jpeg(progressive=True))
    assert not is_plain_jpeg(encode(picture().convert("CMYK"), "jpeg"))
    assert not is_plain_jpeg(simplejpeg.encode_jpeg(PIXELS, colorsubsampling="440"))
    assert not is_plain_jpeg(simplejpeg.encode_jpeg(PIXELS, colorsubsampling="411"))


def test_truncated_ones_and_bytes_behind_the_end_are_not() -> None:
    whole = jpeg()
    assert not any(is_plain_jpeg(whole[:length]) for length in range(len(whole)))
    assert not is_plain_jpeg(whole + b"\x00")


def test_colours_that_are_no_luma_and_chroma_are_not() -> None:
    """Adobe's word, or components that are numbered by letters: libjpeg takes them for red, green and blue."""
    whole = jpeg()
    adobe = b"Adobe" + struct.pack(">HHHB", 100, 0, 0, 0)
    assert not is_plain_jpeg(with_segment(whole, 0xEE, adobe))
    assert is_plain_jpeg(with_segment(whole, 0xEE, adobe[:-1] + b"\x01"))
    renamed = bytearray(whole)
    for number, letter in enumerate(b"RGB"):
        renamed[frame_at(whole) + 10 + 3 * number] = letter
    assert not is_plain_jpeg(bytes(renamed))


def test_other_depths_and_frames_are_not() -> None:
    whole = jpeg()
    deep, other = bytearray(whole), bytearray(whole)
    deep[frame_at(whole) + 4] = 12
    other[frame_at(whole) + 1] = 0xC1
    assert not is_plain_jpeg(bytes(deep))
    assert not is_plain_jpeg(bytes(other))
    frame = whole[frame_at(whole) + 4 : frame_at(whole) + 19]
    assert not is_plain_jpeg(with_segment(whole, 0xC0, frame))  # two of them


def test_one_scan_must_hold_all() -> None:
    whole = bytearray(jpeg())
    whole[whole.index(b"\xff\xda") + 4] = 1
    assert not is_plain_jpeg(bytes(whole))


@given(st.binary(max_size=200))
def test_any_bytes_are_judged(noise: bytes) -> None:
    assert not is_plain_jpeg(noise)
    assert not is_plain_jpeg(b"\xff\xd8" + noise + b"\xff\xd9") or b"\xff\xda" in noise
