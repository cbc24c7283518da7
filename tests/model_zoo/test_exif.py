"""The EXIF reader against Pillow's, and against bytes that lie."""

import struct
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from model_zoo.exif import MAX_ENTRIES, ORIENTATION, read_orientation, read_tags


def tiff(entries: list[tuple[int, int, int, int]], order: Literal["<", ">"] = "<", count: int | None = None) -> bytes:
    """A TIFF directory of (tag, type, count, value)."""
    mark = b"II*\x00" if order == "<" else b"MM\x00*"
    body = b"".join(
        struct.pack(order + "HHI", tag, kind, length)
        + (struct.pack(order + "HH", value, 0) if kind == 3 else struct.pack(order + "I", value))
        for tag, kind, length, value in entries
    )
    return mark + struct.pack(order + "IH", 8, len(entries) if count is None else count) + body + bytes(4)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_in_both_byte_orders(order: Literal["<", ">"], orientation: int) -> None:
    exif = tiff([(0x010F, 3, 1, 7), (ORIENTATION, 3, 1, orientation)], order)
    assert read_orientation(exif) == orientation
    assert read_orientation(memoryview(b"Exif\x00\x00" + exif)) == orientation


def test_what_pillow_writes() -> None:
    exif = Image.Exif()
    exif[0x010E] = "a description that is stored elsewhere"
    exif[ORIENTATION] = 6
    assert read_orientation(exif.tobytes()) == 6


@pytest.mark.parametrize("value", [0, 9, 255, 65535])
def test_an_orientation_out_of_range_is_upright(value: int) -> None:
    assert read_orientation(tiff([(ORIENTATION, 3, 1, value)])) == 1


@pytest.mark.parametrize(
    "exif",
    [
        b"",
        b"II*\x00",
        b"II*\x00\xff\xff\xff\xff",
        b"MM\x00*\x7f\xff\xff\xff" + bytes(50),
        b"II*\x00\x08\x00\x00\x00\xff\xff",
        b"JUNK" + bytes(100),
        tiff([(ORIENTATION, 2, 1, 6)]),
        tiff([(ORIENTATION, 3, 9999, 6)]),
        tiff([(ORIENTATION, 5, 1, 4_000_000_000)]),
    ],
)
def test_hostile_exif_is_upright(exif: bytes) -> None:
    assert read_orientation(exif) == 1


def test_a_count_beyond_the_data_reads_what_is_there() -> None:
    assert read_orientation(tiff([(ORIENTATION, 3, 1, 8)], count=60_000)) == 8


def test_entries_are_bounded() -> None:
    many = [(0x8000 + i, 3, 1, 1) for i in range(2 * MAX_ENTRIES)]
    assert len(read_tags(tiff(many))) == MAX_ENTRIES


@given(st.binary(max_size=200))
def test_any_bytes_give_an_orientation(exif: bytes) -> None:
    assert 1 <= read_orientation(b"II*\x00" + exif) <= 8
    assert 1 <= read_orientation(exif) <= 8


@given(st.lists(st.tuples(st.integers(1, 0xFFFF), st.sampled_from([1, 3, 4]), st.just(1), st.integers(0, 255))))
def test_whole_numbers_read_as_pillow_reads_them(entries: list[tuple[int, int, int, int]]) -> None:
    tags = sorted({tag: (tag, kind, length, value) for tag, kind, length, value in entries}.values())
    exif = Image.Exif()
    exif.load(tiff(tags))
    ours = read_tags(tiff(tags))
    assert ours.keys() == {tag for tag, *_ in tags}
    for tag, kind, _, value in tags:
        assert ours[tag] == value
        if kind != 1 and tag in exif:
            assert exif[tag] == ours[tag]
