"""Pixels in ``.npy``: what is taken, and what each file that is not is told."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from model_zoo.decode import decode
from model_zoo.errors import PictureError, UndecodableImageError, UnsupportedFormatError
from model_zoo.header import Header, PictureLimits, read_header
from model_zoo.npy import npy_layout
from tests.pictures import npy_of

LIMITS = PictureLimits()
PIXELS = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)


def with_header(text: str, pixels: bytes = b"") -> bytes:
    """Version 1, with any text as its header."""
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode("latin-1") + pixels


@given(arrays.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 3]))))
def test_pixels_come_out_as_they_went_in(array: np.ndarray) -> None:  # type: ignore[type-arg]
    data = npy_of(array)
    height, width, channels = array.shape
    header = read_header(data, LIMITS)
    assert header == Header("npy", width, height, 1, channels)
    assert np.array_equal(decode(data, header, colour="grey" if channels == 1 else "rgb"), array)


def test_nothing_is_copied() -> None:
    data = npy_of(PIXELS)
    whole = np.frombuffer(data, np.uint8)
    assert np.shares_memory(decode(data, read_header(data, LIMITS), colour="rgb"), whole)


def test_version_2_is_read_too() -> None:
    one = npy_of(PIXELS)
    two = one[:6] + b"\x02\x00" + one[8:10] + b"\x00\x00" + one[10:]
    assert npy_layout(two) == ((4, 6, 3), npy_layout(one).start + 2)
    assert np.array_equal(decode(two, read_header(two, LIMITS), colour="rgb"), PIXELS)


@pytest.mark.parametrize(
    ("data", "error", "said"),
    [
        (npy_of(PIXELS)[:-5], UndecodableImageError, r"says \(4, 6, 3\), and 5 bytes are missing"),
        (npy_of(PIXELS) + b"more", UndecodableImageError, r"says \(4, 6, 3\), and there are 4 bytes too many"),
        (npy_of(PIXELS)[:9], UndecodableImageError, "ends within its header"),
        (npy_of(PIXELS)[:90], UndecodableImageError, "its header can't be read"),
        (b"\x93NUMPY\x03\x00" + bytes(100), UndecodableImageError, "of version 3"),
        (b"\x93NUMPY\x02\x00\xff\xff\xff\xff" + bytes(100), UndecodableImageError, "header of 4,294,967,295 bytes"),
        (npy_of(PIXELS.astype(np.float32)), UnsupportedFormatError, "samples of float32 is not served; send uint8"),
        (npy_of(PIXELS.astype(np.int8)), UnsupportedFormatError, "samples of int8"),
        (npy_of(np.asfortranarray(PIXELS)), UnsupportedFormatError, "ascontiguousarray"),
        (npy_of(PIXELS.transpose(2, 0, 1).copy()), UndecodableImageError, r"shape \(3, 4, 6\); a picture is"),
        (npy_of(PIXELS[:, 0, 0]), UndecodableImageError, r"shape \(4,\)"),
        (npy_of(np.array(1, np.uint8)), UndecodableImageError, r"shape \(\)"),
        (npy_of(PIXELS[None]), UndecodableImageError, r"shape \(1, 4, 6, 3\); several pictures in one"),
        (npy_of(PIXELS[:0]), UndecodableImageError, "6×0 pixels"),
        (with_header("__import__('os').getcwd()"), UndecodableImageError, "can't be read"),
        (with_header("(" * 1000), UndecodableImageError, "can't be read"),
        (with_header("{'descr': '|u1', 'fortran_order': False, 'shape': (-4, -6, 3)}", bytes(72)),
         UndecodableImageError, "makes no sense"),
        (with_header("{'descr': '|u1', 'fortran_order': False, 'shape': (True, 3)}", bytes(3)),
         UndecodableImageError, "makes no sense"),
        (with_header("{'descr': '|u1', 'fortran_order': False, 'shape': (" + "9" * 900 + ",)}"),
         UndecodableImageError, "makes no sense"),
    ],
)  # fmt: skip
def test_what_is_no_picture_is_refused_in_words(data: bytes, error: type[PictureError], said: str) -> None:
    with pytest.raises(error, match=said):
        read_header(data, LIMITS)


def test_fewer_pixels_than_its_header_has_are_refused() -> None:
    with pytest.raises(UndecodableImageError, match="65×48"):
        decode(npy_of(PIXELS), Header("npy", 65, 48, 1, 3), colour="rgb")
