"""One row of numbers per picture: where it lies in the buffer, and where it lands in the model's input.

The columns, all int64. ``INNER`` and ``OUTER`` are the upright picture's two
axes in the order of the passes, each in columns of its own (``AxisColumn``,
counted from the axis's first).
"""

from enum import IntEnum
from functools import lru_cache

from model_zoo.decode import CACHED_SIZES
from model_zoo.placement import Axis, place
from model_zoo.spec import InputSpec


class Column(IntEnum):
    """A picture's columns."""

    OFFSET = 0  # byte of the buffer that holds the upright picture's first pixel
    FILL = 1  # level around the picture
    INNER_IS_Y = 2  # 1: the first pass runs along y
    ROUNDED = 3  # 1: levels are rounded and clipped after each pass, as Pillow does
    INNER = 4
    OUTER = 11


class AxisColumn(IntEnum):
    """The columns of one axis."""

    SOURCE = 0  # px of the picture in the buffer
    STRIDE = 1  # bytes from one of them to the next, negative where the axis is stored the other way
    SPAN = 2  # eighths of them that the picture is wide: of one decoded smaller, the last may be there in part
    SCALED = 3  # px of the resized picture
    LOW = 4  # first of these inside the window
    VISIBLE = 5  # how many of them are inside the window, at least 1
    PADDING = 6  # px of the window before them


COLUMNS = 18


def decoded_px(full: int, eighths: int) -> int:
    """Length of a side that was decoded at ``eighths`` eighths, as libjpeg rounds it."""
    return -(-full * eighths // 8)


@lru_cache(CACHED_SIZES)
def row(width: int, height: int, orientation: int, eighths: int, spec: InputSpec, exact: bool) -> tuple[int, ...]:
    """The row of a picture that begins at byte 0 of the buffer.

    Args:
        width, height: in px, as the file says: before decoding it smaller, and before turning it.
        orientation: EXIF's, 1 to 8, still to be applied.
        eighths: of the full size at which it was decoded, 1 to 8.
    Returns:
        ``COLUMNS`` numbers, for (decoded height, decoded width, spec.channels), C-contiguous.
    """
    across: int = spec.channels  # strides of the stored columns and rows
    down = decoded_px(width, eighths) * across
    if orientation >= 5:
        width, height, across, down = height, width, down, across
    offset = 0
    if orientation in (2, 3, 6, 7):
        offset, across = offset + (decoded_px(width, eighths) - 1) * across, -across
    if orientation in (3, 4, 7, 8):
        offset, down = offset + (decoded_px(height, eighths) - 1) * down, -down
    placement = place(width, height, spec)
    x, y = _axis(placement.x, across, eighths), _axis(placement.y, down, eighths)
    inner_is_y = _vertical_first(x, y) if exact else orientation >= 5
    axes = y + x if inner_is_y else x + y
    return (offset, placement.fill, int(inner_is_y), int(exact), *axes)


def _axis(axis: Axis, stride: int, eighths: int) -> tuple[int, ...]:
    source = decoded_px(axis.source, eighths)
    return source, stride, axis.source * eighths, axis.scaled, axis.low, axis.high - axis.low, axis.padding


def _vertical_first(x: tuple[int, ...], y: tuple[int, ...]) -> bool:
    """Pillow 13's choice of its first pass."""
    lost_x = x[AxisColumn.SOURCE] - x[AxisColumn.SCALED]
    lost_y = y[AxisColumn.SOURCE] - y[AxisColumn.SCALED]
    return lost_y > max(2 * lost_x, 0)
