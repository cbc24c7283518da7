"""The 16 bytes before a picture, and the numbers in them."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.streams.frame import BadFrameError, FrameReader
from tests.server.streams.fakes import numbered

SEQ = st.integers(0, 2**32 - 1)


def refused(reader: FrameReader, message: bytes) -> BadFrameError:
    with pytest.raises(BadFrameError) as caught:
        reader.read(message)
    return caught.value


@given(seq=SEQ, captured_at=st.floats(allow_nan=False, allow_infinity=False), picture=st.binary())
def test_a_header_is_little_endian_and_the_rest_is_the_picture(seq: int, captured_at: float, picture: bytes) -> None:
    message = b"QE01" + seq.to_bytes(4, "little") + struct.pack("<d", captured_at) + picture
    frame = FrameReader().read(message)
    assert (frame.stamp.seq, frame.stamp.captured_at, bytes(frame.picture)) == (seq, captured_at, picture)


def test_frames_without_headers_are_numbered_from_1() -> None:
    reader = FrameReader()
    frames = [reader.read(message) for message in (b"a", b"", b"QE0", b"QE02" + bytes(20))]
    assert [frame.stamp.seq for frame in frames] == [1, 2, 3, 4]
    assert {frame.stamp.captured_at for frame in frames} == {None}
    assert bytes(frames[0].picture) == b"a"


@given(last=SEQ, step=st.integers(0, 2**32 - 1))
def test_the_next_half_of_all_numbers_is_ahead(last: int, step: int) -> None:
    reader = FrameReader()
    reader.read(numbered(last))
    following = numbered((last + step) % 2**32)
    if 0 < step < 2**31:
        assert reader.read(following).stamp.seq == (last + step) % 2**32
    else:
        assert refused(reader, following).seq == (last + step) % 2**32


def test_numbers_wrap() -> None:
    reader = FrameReader()
    assert [reader.read(numbered(seq)).stamp.seq for seq in (2**32 - 2, 2**32 - 1, 0, 5)] == [
        2**32 - 2,
        2**32 - 1,
        0,
        5,
    ]


def test_a_number_that_was_refused_is_not_the_last_one() -> None:
    reader = FrameReader()
    reader.read(numbered(10))
    error = refused(reader, numbered(9, captured_at=2.5))
    assert (error.seq, error.captured_at) == (9, 2.5)
    assert "seq 9 does not follow 10" in str(error)
    assert reader.read(numbered(11)).stamp.seq == 11


def test_a_number_must_follow_the_last_one_not_the_first() -> None:
    reader = FrameReader()
    for seq in (10, 20):
        reader.read(numbered(seq))
    for seq in (15, 20):
        assert f"seq {seq} does not follow 20" in str(refused(reader, numbered(seq)))


def test_a_header_in_a_stream_without_is_refused_under_the_frame_s_own_number() -> None:
    reader = FrameReader()
    reader.read(b"picture")
    assert refused(reader, numbered(77)).seq == 2
    assert reader.read(b"picture").stamp.seq == 3


def test_no_header_in_a_stream_with_headers_is_refused_without_a_number() -> None:
    reader = FrameReader()
    reader.read(numbered(1))
    assert refused(reader, b"picture").seq is None
    assert refused(reader, b"").seq is None
    assert reader.read(numbered(2)).stamp.seq == 2


@pytest.mark.parametrize("length", range(4, 16))
def test_a_header_cut_short_is_refused_and_decides_for_headers(length: int) -> None:
    reader = FrameReader()
    assert "16 bytes" in str(refused(reader, numbered(1)[:length]))
    assert "no header" in str(refused(reader, b"picture"))


@pytest.mark.parametrize("clock", [float("nan"), float("inf"), float("-inf")])
def test_a_clock_that_no_json_can_tell_is_refused(clock: float) -> None:
    error = refused(FrameReader(), numbered(3, captured_at=clock))
    assert (error.seq, error.captured_at) == (3, None)


def test_a_header_alone_is_a_frame_with_an_empty_picture() -> None:
    assert bytes(FrameReader().read(numbered(1, b"")).picture) == b""
