"""The buffer: what fits, where it lies, what is refused, and what is left when it is cleared."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.backends.ragged.pack import ALIGNMENT, Packer
from server.backends.ragged.table import COLUMNS, Column, row
from tests.server.backends.ragged.batches import RGB, noise, spec_of


def test_pictures_lie_one_after_the_other() -> None:
    packer = Packer.allocate(RGB, capacity_bytes=1000, rows=4)
    first, second = noise(3, 5), noise(4, 4, seed=1)
    assert packer.add(first)
    assert packer.add(second, 6)
    packed = packer.packed(4)
    assert packed.count == packer.count == 2
    assert packed.pixels[16:61].tolist() == first.ravel().tolist()
    assert packed.pixels[64:112].tolist() == second.ravel().tolist()
    assert packed.pixels.size == 112
    assert packed.table.shape == (4, COLUMNS)
    expected = list(row(4, 4, 6, 8, RGB, True))
    expected[Column.OFFSET] += 64
    assert packed.table[1].tolist() == expected


def test_rows_of_padding_point_to_one_black_pixel() -> None:
    packer = Packer.allocate(RGB, capacity_bytes=100, rows=3)
    for _ in range(2):
        assert packer.packed(3).table.tolist() == [list(row(1, 1, 1, 8, RGB, True))] * 3
        assert (packer.packed(0).pixels[:16] == 0).all()
        packer.add(noise(2, 2))
        packer.clear()


def test_what_does_not_fit_is_told() -> None:
    packer = Packer.allocate(RGB, capacity_bytes=100, rows=2)
    assert packer.largest_picture_bytes == 112
    assert packer.add(noise(4, 8))
    assert not packer.add(noise(3, 3))
    assert packer.add(noise(1, 4))
    assert not packer.add(noise(1, 1))
    assert packer.count == 2
    packer.clear()
    assert packer.count == 0
    assert packer.add(noise(4, 8))
    with pytest.raises(ValueError, match="takes 300 bytes and the buffer has 112"):
        packer.reserve(10, 10)


def test_what_the_device_decoded_lies_behind_all_that_is_copied_to_it() -> None:
    packer = Packer.allocate(RGB, capacity_bytes=1000, rows=4)
    size = packer.largest_picture_bytes + ALIGNMENT
    first = packer.reserve_behind(4, 4, 6)
    assert packer.add(noise(3, 5))
    second = packer.reserve_behind(2, 2)
    assert (first, second) == (size - 48, size - 64)
    packed = packer.packed(4)
    assert packed.count == 3
    assert packed.pixels.size == 64
    expected = list(row(4, 4, 6, 8, RGB, True))
    assert first is not None
    expected[Column.OFFSET] += first
    assert packed.table[0].tolist() == expected
    assert packed.table[2, Column.OFFSET] == second
    packer.clear()
    assert packer.reserve_behind(4, 4) == first


def test_the_two_ends_never_meet() -> None:
    packer = Packer.allocate(RGB, capacity_bytes=100, rows=9)
    assert packer.reserve_behind(4, 8) == 32
    assert not packer.add(noise(3, 3))
    assert packer.reserve_behind(3, 2) is None
    assert packer.add(noise(1, 4))
    assert packer.reserve_behind(1, 1) is None
    packer.clear()
    assert packer.reserve_behind(1, packer.largest_picture_bytes // 3) == ALIGNMENT
    with pytest.raises(ValueError, match="takes 300 bytes and the buffer has 112"):
        packer.reserve_behind(10, 10)
    few = Packer.allocate(RGB, capacity_bytes=1000, rows=1)
    assert few.reserve_behind(1, 1) is not None
    assert few.reserve_behind(1, 1) is None


def test_a_decoder_may_write_in_place() -> None:
    packer = Packer.allocate(RGB, capacity_bytes=1000, rows=2)
    room = packer.reserve(6, 7, 3)
    assert room is not None
    assert room.shape == (6, 7, 3)
    assert room.flags.c_contiguous
    room[...] = noise(6, 7)
    assert packer.packed(1).pixels[16 : 16 + 126].tolist() == noise(6, 7).ravel().tolist()


def test_room_for_a_scaled_decode_is_what_the_decoder_gives() -> None:
    packer = Packer.allocate(RGB, capacity_bytes=1000, rows=2)
    room = packer.reserve(33, 50, 1, 3)
    assert room is not None
    assert room.shape == (13, 19, 3)


def test_the_memory_is_the_callers() -> None:
    pixels, table = np.full(64, 9, np.uint8), np.zeros((2, COLUMNS), np.int64)
    packer = Packer(RGB, pixels, table)
    packer.add(noise(2, 2))
    packed = packer.packed(2)
    assert np.shares_memory(packed.pixels, pixels)
    assert np.shares_memory(packed.table, table)
    assert pixels[0] == 0
    with pytest.raises(ValueError, match="no memory"):
        Packer(RGB, pixels, table[:, :4])
    with pytest.raises(ValueError, match="no memory"):
        Packer(RGB, pixels[:8], table)


@pytest.mark.parametrize("orientation", [0, 9])
def test_no_picture_is_refused(orientation: int) -> None:
    packer = Packer.allocate(RGB, capacity_bytes=100, rows=2)
    with pytest.raises(ValueError, match="orientation"):
        packer.add(noise(2, 2), orientation)
    with pytest.raises(ValueError, match="0×4 px"):
        packer.reserve(4, 0)
    with pytest.raises(ValueError, match="at 9/8"):
        packer.reserve(4, 4, 1, 9)
    with pytest.raises(ValueError, match="3 channels"):
        packer.add(noise(2, 2, 1))
    with pytest.raises(ValueError, match="float64"):
        packer.add(np.zeros((2, 2, 3)))  # type: ignore[arg-type]
    assert packer.count == 0


def test_a_batch_has_room_for_its_pictures() -> None:
    packer = Packer.allocate(RGB, capacity_bytes=100, rows=2)
    packer.add(noise(2, 2))
    for bucket in (0, 3):
        with pytest.raises(ValueError, match=f"no batch of {bucket}"):
            packer.packed(bucket)


def test_a_spec_that_is_not_done_here_is_refused() -> None:
    with pytest.raises(ValueError, match="antialias=False"):
        Packer.allocate(replace(RGB, resize=replace(RGB.resize, antialias=False)), capacity_bytes=9, rows=1)


@given(st.lists(st.tuples(st.integers(1, 12), st.integers(1, 12), st.integers(1, 8)), max_size=12))
def test_pictures_never_overlap(sizes: list[tuple[int, int, int]]) -> None:
    packer = Packer.allocate(spec_of("stretch", channels=1), capacity_bytes=600, rows=8)
    kept = []
    for seed, (height, width, orientation) in enumerate(sizes):
        room = packer.reserve(height, width, orientation)
        if room is not None:
            room[...] = seed
            kept.append((room, seed))
            assert room.ctypes.data - packer.packed(8).pixels.ctypes.data >= ALIGNMENT
            assert (room.ctypes.data - packer.packed(8).pixels.ctypes.data) % ALIGNMENT == 0
    assert packer.count == len(kept) <= 8
    assert all((room == seed).all() for room, seed in kept)
