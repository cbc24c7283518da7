"""Pixels → the model's input: the reference, and the fast path tested against it.

``preprocess`` is the definition: Pillow's antialiased resize of the whole
picture, then crop or pad. ``prepare`` gives the same input from encoded bytes
for less:

- a photo much larger than needed is decoded at 1/2, 3/8, 1/4 or 1/8 by
  libjpeg-turbo, keeping at least ``KEEP`` times the size needed;
- other large pictures are first averaged over whole pixels (Pillow's
  ``reducing_gap``), keeping at least ``REDUCING_GAP`` times;
- only the pixels inside the crop are computed (``resize(box=…)``), so that a
  1×20,000 strip costs no more than a photo;
- EXIF turns the small result, not the large picture;
- what has the right size already is not computed at all.

Measured difference on natural photos, in levels of 0–255 (by
``benchmarks/decode_preprocess.py``): at ordinary sizes rounding alone, mean
under 0.01; where a JPEG is decoded smaller, mean 0.2 and nearly all within 2.
Pillow rounds and clips between its two passes: where they change places (a
square picture turned a quarter by EXIF), mean 0.2 too.

Without antialiasing the two agree exactly. Pillow's resize releases the GIL.
"""

import math
import time
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from model_zoo.decode import (
    CACHED_SIZES,
    Pixels,
    decode,
    decode_stored,
    jpeg_scale,
    pending_orientation,
    to_array,
    turn_upright,
    upright_view,
)
from model_zoo.header import Header
from model_zoo.placement import Axis, Placement, place
from model_zoo.resample import resample
from model_zoo.spec import InputSpec, Resize

KEEP = 2.0
REDUCING_GAP = 3.0
WHOLE_RESIZE_PX = 16_000_000  # a longer strip than this, once resized, is computed inside the crop only

_FILTERS = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
_FILTER_REACH = {"bilinear": 1, "bicubic": 2, "lanczos": 3}


@dataclass(slots=True)
class PrepareTimes:
    """Seconds that ``prepare`` spent on its two halves."""

    decode_s: float = 0.0
    preprocess_s: float = 0.0


def preprocess(image: NDArray[np.uint8], spec: InputSpec) -> NDArray[np.uint8]:
    """Resize, crop or pad an upright picture to the model's input: the reference.

    Args:
        image: (H, W, spec.channels), any H and W from 1.
    Returns:
        (spec.height, spec.width, spec.channels).
    Raises:
        ValueError: the number of channels is not the spec's, or the spec gives no fixed size.
    """
    height, width, channels = image.shape
    if channels != spec.channels:
        raise ValueError(f"the picture has {channels} channels and the model takes {spec.channels}")
    placement = place(width, height, spec)
    x, y = placement.x, placement.y
    if not _is_antialiased(spec.resize):
        return _pad(resample(image, x, y, spec.resize.filter), placement)
    picture = _to_image(image)
    if x.scaled * y.scaled > WHOLE_RESIZE_PX:
        return _pad(_cut(placement, 8, spec.resize, whole=True).resized(picture), placement)
    whole = to_array(picture.resize((x.scaled, y.scaled), _FILTERS[spec.resize.filter]))
    return _pad(np.ascontiguousarray(whole[y.low : y.high, x.low : x.high]), placement)


def prepare_reference(data: bytes | memoryview, header: Header, spec: InputSpec) -> NDArray[np.uint8]:
    """Decode whole, turn, then ``preprocess``: what ``prepare`` is measured against."""
    return preprocess(decode(data, header, colour=spec.colour), spec)


def prepare(
    data: bytes | memoryview, header: Header, spec: InputSpec, times: PrepareTimes | None = None
) -> NDArray[np.uint8]:
    """Encoded bytes → the model's input, by the shortest way.

    Args:
        data: the encoded picture.
        header: what ``read_header`` said of it.
        times: filled in, where given.
    Returns:
        uint8, (spec.height, spec.width, spec.channels), within a level or so of ``prepare_reference``; C-contiguous,
        maybe read-only.
    Raises:
        PictureError: as ``decode``.
        ValueError: the spec gives no fixed size.
    """
    started_s = time.perf_counter()
    landing = _landing(header.upright_size, spec)
    stored = decode_stored(data, header, spec.colour, landing.keep)
    decoded_s = time.perf_counter()
    result = _to_input(stored, header, landing)
    if times is not None:
        times.decode_s = decoded_s - started_s
        times.preprocess_s = time.perf_counter() - decoded_s
    return result


class DevicePixels(Protocol):
    """What lies in a device's memory, as an engine's tensor."""

    @property
    def shape(self) -> tuple[int, ...]:
        """As an array's."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A picture decoded as far as its model needs, for a device to resize.

    Attributes:
        pixels: uint8, (H, W, spec.channels), not turned yet: C-contiguous, or on the engine's device, which decoded it.
        height, width: in px, of the whole picture as it is stored: ``pixels`` may be smaller.
        eighths: of that size at which it was decoded.
        orientation: EXIF's, still to be applied.
    """

    pixels: Pixels | DevicePixels
    height: int
    width: int
    eighths: int
    orientation: int


def decode_for(data: bytes | memoryview, header: Header, spec: InputSpec, times: PrepareTimes | None = None) -> Stored:
    """The first half of ``prepare``: a large photo is decoded smaller, as it does.

    Args:
        data, header, times: as ``prepare``.
    Raises:
        PictureError: as ``decode``.
        ValueError: the spec gives no fixed size.
    """
    started_s = time.perf_counter()
    found = decode_stored(data, header, spec.colour, _landing(header.upright_size, spec).keep)
    pixels = found if isinstance(found, np.ndarray) else to_array(found)
    eighths = (jpeg_scale(pixels, header) if isinstance(found, np.ndarray) else None) or 8
    height, width = pixels.shape[:2] if eighths == 8 else (header.height, header.width)
    if times is not None:
        times.decode_s = time.perf_counter() - started_s
    return Stored(np.ascontiguousarray(pixels), height, width, eighths, pending_orientation(header))


@dataclass(frozen=True, slots=True)
class _Landing:
    """Where upright pictures of one size land in one input, and each way of getting them there, worked out once.

    Attributes:
        upright: the placement.
        fills_input: whether it leaves nothing to pad.
        unscaled: whether every pixel of the input is one of the picture's.
        keep: the shorter side, in px, under which a scaled decode would be too coarse; None: decode it whole.
    """

    upright: Placement
    fills_input: bool
    unscaled: bool
    resize: Resize
    antialiased: bool
    keep: int | None
    cuts: "dict[tuple[int, int, bool], _Cut]" = field(default_factory=dict)

    def cut(self, orientation: int, eighths: int, is_image: bool) -> "_Cut":
        """For a picture decoded at ``eighths`` eighths of its stored size, with ``orientation`` still to be applied."""
        cut = self.cuts.get((orientation, eighths, is_image))
        if cut is None:
            x, y = self.upright.x, self.upright.y
            averaged_first = is_image and max(x.source / x.scaled, y.source / y.scaled) >= 2 * REDUCING_GAP
            stored = self.upright.before_turning(orientation)
            cut = _cut(stored, eighths, self.resize, whole=averaged_first)  # which needs no copy for cutting
            self.cuts[orientation, eighths, is_image] = cut
        return cut


@lru_cache(CACHED_SIZES)
def _landing(upright_size: tuple[int, int], spec: InputSpec) -> _Landing:
    upright = place(*upright_size, spec)
    antialiased = _is_antialiased(spec.resize)
    x, y = upright.x, upright.y
    ratio = KEEP * max(x.scaled / x.source, y.scaled / y.source)
    keep = math.ceil(ratio * min(x.source, y.source)) if antialiased and ratio <= 0.5 else None
    unscaled = x.source == x.scaled and y.source == y.scaled
    return _Landing(upright, upright.fills_input, unscaled, spec.resize, antialiased, keep)


def _is_antialiased(resize: Resize) -> bool:
    return resize.antialias and resize.filter != "nearest"


def _to_input(stored: Pixels | Image.Image, header: Header, landing: _Landing) -> Pixels:
    orientation, upright = pending_orientation(header), landing.upright
    if landing.unscaled:
        array = upright_view(stored if isinstance(stored, np.ndarray) else to_array(stored), orientation)
        window = array[upright.y.low : upright.y.high, upright.x.low : upright.x.high]
        return np.ascontiguousarray(_pad(window, upright))
    if not landing.antialiased:
        array = upright_view(stored if isinstance(stored, np.ndarray) else to_array(stored), orientation)
        return _pad(resample(array, upright.x, upright.y, landing.resize.filter), upright)
    if isinstance(stored, Image.Image):
        window = landing.cut(orientation, 8, True).resized(stored)
    else:
        window = landing.cut(orientation, jpeg_scale(stored, header) or 8, False).resized(stored)
    if orientation != 1:
        window = turn_upright(window, orientation)
    return window if landing.fills_input else _pad(window, upright)


@dataclass(frozen=True, slots=True)
class _Cut:
    """How stored pixels become the visible part of the window: only what the filter can reach is touched.

    Cutting that out first also brings Pillow's result closer to the whole
    picture's: from 13 on it chooses the order of its two passes by their sizes.

    Attributes:
        area: left, top, right, bottom of what is cut out, in stored px; None: nothing is cut off.
        box: what of that becomes ``size``, in the same order.
        size: width and height of the result.
    """

    area: tuple[int, int, int, int] | None
    box: tuple[float, float, float, float]
    size: tuple[int, int]
    filter: Image.Resampling

    def resized(self, stored: Pixels | Image.Image) -> Pixels:
        """(height, width, C) of ``size``."""
        if isinstance(stored, Image.Image):
            image = stored.crop(self.area) if self.area else stored
        elif self.area:
            left, top, right, bottom = self.area
            image = _to_image(stored[top:bottom, left:right])
        else:
            image = _to_image(stored)
        return to_array(image.resize(self.size, self.filter, self.box, REDUCING_GAP))


def _cut(stored: Placement, eighths: int, resize: Resize, *, whole: bool) -> _Cut:
    """Of a picture at ``eighths`` eighths of its stored size; ``whole``: nothing is cut out first."""
    x, y = stored.x, stored.y
    scale = eighths / 8
    width, height = -(-x.source * eighths // 8), -(-y.source * eighths // 8)
    x0, x1, y0, y1 = (edge * scale for edge in x.box + y.box)
    left, right = (0, width) if whole else _reached(x0, x1, x, resize, width)
    top, bottom = (0, height) if whole else _reached(y0, y1, y, resize, height)
    return _Cut(
        None if (left, top, right, bottom) == (0, 0, width, height) else (left, top, right, bottom),
        (x0 - left, y0 - top, min(x1, right) - left, min(y1, bottom) - top),
        (x.high - x.low, y.high - y.low),
        _FILTERS[resize.filter],
    )


def _reached(low: float, high: float, axis: Axis, resize: Resize, size: int) -> tuple[int, int]:
    margin = _FILTER_REACH[resize.filter] * max((high - low) / (axis.high - axis.low), 1) + 1
    return max(math.floor(low - margin), 0), min(math.ceil(high + margin), size)


def _to_image(array: Pixels) -> Image.Image:
    height, width, channels = array.shape
    image = Image.new("L" if channels == 1 else "RGB", (width, height), None)  # None: need not be filled
    image.frombytes(np.ascontiguousarray(array).data)
    return image


def _pad(window: Pixels, placement: Placement) -> Pixels:
    if placement.fills_input:
        return window
    x, y = placement.x, placement.y
    canvas = np.full((y.length, x.length, window.shape[2]), placement.fill, np.uint8)
    canvas[y.padding : y.padding + window.shape[0], x.padding : x.padding + window.shape[1]] = window
    return canvas
