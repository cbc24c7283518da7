"""A row of the table against NumPy's turning of arrays, and against placements."""

import sys

import numpy as np
import pytest

from model_zoo.decode import turn_upright
from model_zoo.placement import place
from server.backends.ragged.table import COLUMNS, AxisColumn, Column, row
from tests.pictures import ORIENTATIONS
from tests.server.backends.ragged.batches import RGB, noise, spec_of


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("channels", [1, 3])
def test_offset_and_strides_read_the_picture_upright(orientation: int, exact: bool, channels: int) -> None:
    stored = noise(5, 8, channels)
    numbers = row(8, 5, orientation, 8, spec_of("stretch", channels=channels), exact)
    inner, outer = numbers[Column.INNER : Column.OUTER], numbers[Column.OUTER :]
    x, y = (outer, inner) if numbers[Column.INNER_IS_Y] else (inner, outer)
    upright = np.lib.stride_tricks.as_strided(
        stored.reshape(-1)[numbers[Column.OFFSET] :],
        (y[AxisColumn.SOURCE], x[AxisColumn.SOURCE], channels),
        (y[AxisColumn.STRIDE], x[AxisColumn.STRIDE], 1),
    )
    assert len(numbers) == COLUMNS
    assert np.array_equal(upright, turn_upright(stored, orientation))
    assert numbers[Column.ROUNDED] == exact


@pytest.mark.parametrize("mode", ["shorter_side", "stretch", "letterbox"])
def test_axes_are_the_upright_placement(mode: str) -> None:
    spec = spec_of(mode)  # type: ignore[arg-type]
    numbers = row(50, 33, 6, 8, spec, True)
    wanted = place(33, 50, spec)
    assert numbers[Column.FILL] == wanted.fill
    axes = [numbers[Column.INNER : Column.OUTER], numbers[Column.OUTER :]]
    order = (wanted.y, wanted.x) if numbers[Column.INNER_IS_Y] else (wanted.x, wanted.y)
    for axis, placed in zip(axes, order, strict=True):
        assert axis[AxisColumn.SOURCE] == placed.source
        assert axis[AxisColumn.SPAN] == 8 * placed.source
        assert axis[AxisColumn.SCALED] == placed.scaled
        assert axis[AxisColumn.LOW] == placed.low
        assert axis[AxisColumn.LOW] + axis[AxisColumn.VISIBLE] == placed.high
        assert axis[AxisColumn.PADDING] == placed.padding


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_fast_begins_along_the_stored_rows(orientation: int) -> None:
    numbers = row(50, 33, orientation, 8, RGB, False)
    assert abs(numbers[Column.INNER + AxisColumn.STRIDE]) == 3
    assert abs(numbers[Column.OUTER + AxisColumn.STRIDE]) == 150


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_a_picture_decoded_smaller_is_placed_as_the_whole_one(orientation: int) -> None:
    whole, small = row(50, 33, orientation, 8, RGB, False), row(50, 33, orientation, 2, RGB, False)
    for axis in (Column.INNER, Column.OUTER):
        for column in (AxisColumn.SCALED, AxisColumn.LOW, AxisColumn.VISIBLE, AxisColumn.PADDING):
            assert small[axis + column] == whole[axis + column]
        assert small[axis + AxisColumn.SPAN] == 2 * whole[axis + AxisColumn.SOURCE]
    assert {small[axis + AxisColumn.SOURCE] for axis in (Column.INNER, Column.OUTER)} == {13, 9}


def test_large_pictures_do_not_wrap() -> None:
    numbers = row(65_535, 65_535, 3, 8, RGB, True)
    assert numbers[Column.OFFSET] == 65_535 * 65_535 * 3 - 3 < sys.maxsize
