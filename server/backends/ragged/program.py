"""What one program of the kernel does: one tile of one picture's input, both passes at once.

A program walks down the source rows under its tile, ``CHUNK`` at a time. For
each chunk it makes the first pass: tap by tap, a weight per element of the tile
times the pixels under that tap, in all rows of the chunk. The second pass is
a small matrix product: the rows' weights times the chunk's sums, added to the
tile. Rows and columns are the picture's two axes in the order of its passes
(``table.py``), not always y and x.

An element is one channel of one pixel, so that three channels take no room for
four. Places are exact: the whole part of a centre is found in 64-bit integers
and only what is left of it becomes a float, so a strip of a million pixels is
resized as well as a photo.

Pillow's weights are multiples of 2⁻²², rounded from doubles, and its sums are
32-bit integers. The exact mode does the same, and so gives the same levels: its
weights are computed in float64 (a few per pixel of the tile, of which all rows
and channels of a chunk make use) and its first pass sums integers. The second
splits each weight into two halves of 11 bits, whose products with levels
float32 sums without loss. The fast mode computes in float32 throughout.
"""

import triton
import triton.language as tl

from server.backends.ragged.table import COLUMNS, AxisColumn, Column

_COLUMNS = tl.constexpr(COLUMNS)
_OFFSET = tl.constexpr(int(Column.OFFSET))
_FILL = tl.constexpr(int(Column.FILL))
_INNER_IS_Y = tl.constexpr(int(Column.INNER_IS_Y))
_ROUNDED = tl.constexpr(int(Column.ROUNDED))
_INNER = tl.constexpr(int(Column.INNER))
_OUTER = tl.constexpr(int(Column.OUTER))
_SOURCE = tl.constexpr(int(AxisColumn.SOURCE))
_STRIDE = tl.constexpr(int(AxisColumn.STRIDE))
_SPAN = tl.constexpr(int(AxisColumn.SPAN))
_SCALED = tl.constexpr(int(AxisColumn.SCALED))
_LOW = tl.constexpr(int(AxisColumn.LOW))
_VISIBLE = tl.constexpr(int(AxisColumn.VISIBLE))
_PADDING = tl.constexpr(int(AxisColumn.PADDING))


@triton.jit
def resize_tile(
    pixels: tl.tensor,
    table: tl.tensor,
    out: tl.tensor,
    normalisation: tl.tensor,
    HEIGHT: tl.constexpr,
    WIDTH: tl.constexpr,
    CHANNELS: tl.constexpr,
    REACH: tl.constexpr,
    NORMALISED: tl.constexpr,
    WHOLE_LEVELS: tl.constexpr,
    TILE_ROWS: tl.constexpr,
    TILE_ELEMENTS: tl.constexpr,
    CHUNK: tl.constexpr,
) -> None:
    """The program ``tile, image`` of the grid: see ``kernel.resize``."""
    image = tl.program_id(1).to(tl.int64)
    row = table + image * _COLUMNS
    inner_is_y = tl.load(row + _INNER_IS_Y) != 0
    columns = tl.where(inner_is_y, HEIGHT, WIDTH)
    tiles = tl.cdiv(columns * CHANNELS, TILE_ELEMENTS)
    element = (tl.program_id(0) % tiles) * TILE_ELEMENTS + tl.arange(0, TILE_ELEMENTS)
    across, channel = element // CHANNELS, element % CHANNELS
    down = (tl.program_id(0) // tiles) * TILE_ROWS + tl.arange(0, TILE_ROWS)

    if tl.load(row + _ROUNDED) != 0:
        levels = _levels(pixels, row, across, down, channel, REACH, CHUNK, True)
    else:
        levels = _levels(pixels, row, across, down, channel, REACH, CHUNK, False)
        if WHOLE_LEVELS:
            levels = tl.floor(levels + 0.5)

    is_picture = _is_inside(row + _OUTER, down)[:, None] & _is_inside(row + _INNER, across)[None, :]
    levels = tl.where(is_picture, levels, tl.load(row + _FILL).to(tl.float32))
    if NORMALISED:
        mean, deviation = tl.load(normalisation + channel), tl.load(normalisation + CHANNELS + channel)
        levels = tl.math.div_rn(levels - mean[None, :], deviation[None, :] + tl.zeros_like(levels))
    pixel_of_input = tl.where(
        inner_is_y, across[None, :] * WIDTH + down[:, None], down[:, None] * WIDTH + across[None, :]
    )
    target = out + image * (HEIGHT * WIDTH * CHANNELS) + pixel_of_input * CHANNELS + channel[None, :]
    is_inside = (down < tl.where(inner_is_y, WIDTH, HEIGHT))[:, None] & (across < columns)[None, :]
    tl.store(target, levels.to(out.dtype.element_ty), mask=is_inside)


@triton.jit
def _levels(
    pixels: tl.tensor,
    row: tl.tensor,
    across: tl.tensor,
    down: tl.tensor,
    channel: tl.tensor,
    REACH: tl.constexpr,
    CHUNK: tl.constexpr,
    EXACT: tl.constexpr,
) -> tl.tensor:
    """The picture at some positions of the window: float32, (down, across), 0-255; in exact mode, whole levels."""
    unit: tl.constexpr = 4194304.0 if EXACT else 1.0  # of the weights: 2**22 in exact mode
    across_whole, across_part, across_squeeze = _centres(row + _INNER, across, EXACT)
    down_whole, down_part, down_squeeze = _centres(row + _OUTER, down, EXACT)
    width = tl.load(row + _INNER + _SOURCE).to(tl.int32)
    height = tl.load(row + _OUTER + _SOURCE).to(tl.int32)
    column_stride = tl.load(row + _INNER + _STRIDE)
    row_stride = tl.load(row + _OUTER + _STRIDE)
    is_needed = _is_inside(row + _INNER, across)
    first = _window_start(across_whole, across_part, REACH / across_squeeze)
    taps = tl.max(_window_end(across_whole, across_part, REACH / across_squeeze, width) - first, 0)
    top = _window_start(down_whole, down_part, REACH / down_squeeze)
    bottom = _window_end(down_whole, down_part, REACH / down_squeeze, height)
    is_shown = _is_inside(row + _OUTER, down) & (tl.max(is_needed.to(tl.int32), 0) > 0)
    begin = tl.min(tl.where(is_shown, top, height), 0)
    end = tl.max(tl.where(is_shown, bottom, 0), 0)

    across_sum = tl.zeros_like(across_part)
    for tap in range(taps):
        across_sum += _weight(first + tap, width, across_whole, across_part, across_squeeze, REACH)
    across_unit = unit / across_sum
    down_sum = tl.zeros_like(down_part)
    for chunk in range(begin, end, CHUNK):
        y = (chunk + tl.arange(0, CHUNK))[None, :]
        down_sum += tl.sum(_weight(y, height, down_whole[:, None], down_part[:, None], down_squeeze, REACH), 1)
    down_unit = unit / tl.where(down_sum == 0, 1.0, down_sum)  # 0: the tile's row shows nothing of the picture

    coarse = tl.zeros([down.shape[0], across.shape[0]], tl.float32)
    fine = tl.zeros([down.shape[0], across.shape[0]], tl.float32)
    start = pixels + tl.load(row + _OFFSET) + channel[None, :]
    for chunk in range(begin, end, CHUNK):
        y = chunk + tl.arange(0, CHUNK)
        line = start + y[:, None].to(tl.int64) * row_stride
        summed = tl.zeros([CHUNK, across.shape[0]], tl.int32 if EXACT else tl.float32)
        for tap in range(taps):
            x = first + tap
            weight = _weight(x, width, across_whole, across_part, across_squeeze, REACH) * across_unit
            is_there = (y < height)[:, None] & (is_needed & (x < width))[None, :]
            pixel = tl.load(line + x[None, :].to(tl.int64) * column_stride, mask=is_there, other=0)
            if EXACT:
                summed += _whole(weight)[None, :] * pixel.to(tl.int32)
            else:
                summed += weight[None, :] * pixel.to(tl.float32)
        weights = _weight(y[None, :], height, down_whole[:, None], down_part[:, None], down_squeeze, REACH)
        weights *= down_unit[:, None]
        if EXACT:
            halves = _whole(weights)
            upper = (halves + 1024) >> 11
            lower = (halves - upper * 2048).to(tl.float32)
            between = _to_levels(summed)
            coarse = tl.dot(upper.to(tl.float32), between, coarse, input_precision="ieee")
            fine = tl.dot(lower, between, fine, input_precision="ieee")
        else:
            coarse = tl.dot(weights, summed, coarse, input_precision="ieee")
    if EXACT:
        levels = _to_levels(coarse.to(tl.int32) * 2048 + fine.to(tl.int32))
    else:
        levels = tl.minimum(tl.maximum(coarse, 0.0), 255.0)
    return levels


@triton.jit
def _is_inside(axis: tl.tensor, position: tl.tensor) -> tl.tensor:
    """Which positions of the window show the picture, rather than padding."""
    padding = tl.load(axis + _PADDING)
    return (position >= padding) & (position < padding + tl.load(axis + _VISIBLE))


@triton.jit
def _centres(axis: tl.tensor, position: tl.tensor, EXACT: tl.constexpr) -> tl.tensor:
    """Centres of the window's positions in the picture, in px: a whole part and the rest; and the scale, at most 1."""
    kind: tl.constexpr = tl.float64 if EXACT else tl.float32
    span, scaled = tl.load(axis + _SPAN), tl.load(axis + _SCALED)
    last = tl.load(axis + _VISIBLE) - 1
    index = tl.load(axis + _LOW) + tl.minimum(tl.maximum(position - tl.load(axis + _PADDING), 0), last)
    sixteenths = (2 * index + 1) * span
    whole = sixteenths // (16 * scaled)
    part = (sixteenths - whole * 16 * scaled).to(kind) / (16 * scaled).to(kind)
    squeeze = tl.minimum((8 * scaled).to(kind) / span.to(kind), 1.0)
    return whole.to(tl.int32), part, squeeze


@triton.jit
def _window_start(whole: tl.tensor, part: tl.tensor, support: tl.tensor) -> tl.tensor:
    return tl.maximum(whole + tl.floor(part - support + 0.5).to(tl.int32), 0)


@triton.jit
def _window_end(whole: tl.tensor, part: tl.tensor, support: tl.tensor, source: tl.tensor) -> tl.tensor:
    return tl.minimum(whole + tl.floor(part + support + 0.5).to(tl.int32), source)


@triton.jit
def _weight(
    place: tl.tensor, source: tl.tensor, whole: tl.tensor, part: tl.tensor, squeeze: tl.tensor, REACH: tl.constexpr
) -> tl.tensor:
    """Of the pixels at some places, 0 past the picture's end; bicubic has a = -0.5. Filters are told by their reach."""
    x = tl.abs(((place - whole).to(part.dtype) - part + 0.5) * squeeze)
    if REACH == 1:
        weight = tl.maximum(1.0 - x, 0.0)
    elif REACH == 2:
        far = tl.where(x < 2.0, ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0, 0.0)
        weight = tl.where(x < 1.0, (1.5 * x - 2.5) * x * x + 1.0, far)
    else:
        angle = tl.maximum(x, 1e-8) * 3.141592653589793
        weight = tl.where(x < 3.0, 3.0 * tl.sin(angle) * tl.sin(angle / 3.0) / (angle * angle), 0.0)
    return tl.where(place < source, weight, 0.0)


@triton.jit
def _whole(weight: tl.tensor) -> tl.tensor:
    """int32, halves away from 0."""
    return tl.where(weight < 0, -tl.floor(0.5 - weight), tl.floor(weight + 0.5)).to(tl.int32)


@triton.jit
def _to_levels(summed: tl.tensor) -> tl.tensor:
    """Sums in units of 2⁻²² levels, rounded with halves up and clipped: Pillow's 8 bits, as float32."""
    return tl.minimum(tl.maximum((summed + 2097152) >> 22, 0), 255).to(tl.float32)
