"""The kernel and its twin against Pillow's reference, and the fast mode against torch's own resize."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from model_zoo.preprocess import preprocess
from model_zoo.spec import InputSpec, ResizeFilter, ResizeMode
from server.backends.ragged import twin
from server.backends.ragged.arguments import RaggedResize
from server.backends.ragged.pack import Packer
from server.backends.ragged.table import COLUMNS
from tests.pictures import ORIENTATIONS, picture
from tests.server.backends.ragged.batches import DEVICE, RGB, difference, expected, noise, resized, spec_of

MODES: list[ResizeMode] = ["shorter_side", "stretch", "letterbox"]
FILTERS: list[ResizeFilter] = ["bilinear", "bicubic", "lanczos"]
# (height, width): one pixel, lines, wide, tall, smaller, equal, larger. Triton's interpreter takes its time.
SIZES = [(1, 1), (1, 7), (9, 1), (2, 60), (50, 3), (11, 13), (20, 24), (27, 27), (31, 47)]


def stored(sizes: list[tuple[int, int]], channels: int = 3) -> list[tuple[NDArray[np.uint8], int]]:
    return [(noise(height, width, channels, seed), 1 + seed % 8) for seed, (height, width) in enumerate(sizes)]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("kernel", "channels"), [("bilinear", 3), ("bicubic", 3), ("bicubic", 1), ("lanczos", 1)])
def test_exact_is_pillow_to_the_level(
    resize: RaggedResize, mode: ResizeMode, kernel: ResizeFilter, channels: int
) -> None:
    spec = spec_of(mode, kernel, channels)
    pictures = stored(SIZES, channels)
    assert difference(resized(resize, pictures, spec), expected(pictures, spec)).max() == 0


def test_ten_times_smaller(resize: RaggedResize) -> None:
    spec = spec_of("stretch", channels=1)
    pictures = stored([(200, 240), (203, 37)], 1)
    assert difference(resized(resize, pictures, spec), expected(pictures, spec)).max() == 0


@pytest.mark.parametrize("mode", MODES)
def test_every_orientation_lands_upright(resize: RaggedResize, mode: ResizeMode) -> None:
    spec = spec_of(mode)
    pictures = [(noise(17, 26), orientation) for orientation in ORIENTATIONS]
    assert difference(resized(resize, pictures, spec), expected(pictures, spec)).max() == 0
    smooth = [(np.asarray(picture(25, 17)), orientation) for orientation in ORIENTATIONS]
    assert difference(resized(resize, smooth, spec, exact=False), expected(smooth, spec)).max() <= 1


@pytest.mark.parametrize("size", [(1, 40_000), (40_000, 1), (2, 9000)])
def test_strips_are_placed_to_the_pixel(resize: RaggedResize, size: tuple[int, int]) -> None:
    """By their shorter side they grow to 800,000 px, of which the middle is seen: floats would lose the place."""
    strip = [(noise(*size), 1)]
    middle = spec_of("shorter_side", "bilinear")
    middle = replace(middle, resize=replace(middle.resize, size=20))
    assert difference(resized(resize, strip, middle), expected(strip, middle)).max() == 0


def test_a_strip_shrinks_to_a_line(resize: RaggedResize) -> None:
    strip = [(noise(3, 900), 1)]
    for mode in MODES[1:]:
        spec = spec_of(mode, "bilinear")
        assert difference(resized(resize, strip, spec), expected(strip, spec)).max() == 0


def test_letterbox_is_padded_with_grey(resize: RaggedResize) -> None:
    spec = spec_of("letterbox")
    white = np.full((10, 60, 3), 255, np.uint8)
    result = resized(resize, [(white, 1), (white, 6)], spec)
    assert result[0, 8:12].min() == 255
    assert set(result[0, :8].unique().tolist()) == {114}
    assert result[1, :, 10:13].min() == 255
    assert set(result[1, :, :10].unique().tolist()) == {114}


@pytest.mark.parametrize("eighths", [1, 2, 3, 4])
def test_a_scaled_decode_is_pillows_box(resize: RaggedResize, eighths: int) -> None:
    """The last of its columns and rows may be there in part: Pillow takes that as a box with a fraction."""
    spec = spec_of("stretch")
    packer = Packer.allocate(spec, capacity_bytes=30_000, rows=1)
    height, width = 157, 203
    room = packer.reserve(height, width, 1, eighths)
    assert room is not None
    room[...] = noise(*room.shape[:2])
    box = (0.0, 0.0, width * eighths / 8, height * eighths / 8)
    wanted = Image.fromarray(room).resize((spec.width, spec.height), Image.Resampling.BICUBIC, box)
    packed = packer.packed(1)
    out = torch.zeros((1, spec.height, spec.width, 3), dtype=torch.uint8, device=DEVICE)
    resize(torch.from_numpy(packed.pixels).to(DEVICE), torch.from_numpy(packed.table).to(DEVICE), out, spec)
    assert difference(out[0].cpu(), np.asarray(wanted)).max() == 0


def test_rows_of_padding_are_valid_and_change_nothing(resize: RaggedResize) -> None:
    pictures = stored([(30, 40), (5, 5)])
    alone, padded = resized(resize, pictures, RGB), resized(resize, pictures, RGB, bucket=4)
    assert torch.equal(padded[:2], alone)
    assert (padded[2:] == 0).all()


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_normalised_is_levels_less_mean_by_deviation(resize: RaggedResize, dtype: torch.dtype, exact: bool) -> None:
    pictures = stored([(33, 40), (12, 9)])
    mean, deviation = np.array([120.0, 110.5, 99.0]), np.array([50.0, 61.5, 70.0])
    normalisation = torch.from_numpy(np.stack([mean, deviation])).float()
    spec = spec_of("letterbox")
    levels = resized(resize, pictures, spec, exact=exact, dtype=torch.float32)
    result = resized(resize, pictures, spec, exact=exact, dtype=dtype, normalisation=normalisation)
    wanted = (levels.double() - torch.from_numpy(mean)) / torch.from_numpy(deviation)
    tolerance = 2e-3 if dtype == torch.float16 else 1e-5
    assert result.dtype == dtype
    assert (result.double() - wanted).abs().max() < tolerance
    assert torch.equal(levels, levels.floor()) == exact


def test_exact_floats_are_the_whole_levels(resize: RaggedResize) -> None:
    pictures = stored([(33, 50)])
    assert torch.equal(resized(resize, pictures, RGB, dtype=torch.float16).byte(), resized(resize, pictures, RGB))


@pytest.mark.parametrize("kernel", ["bilinear", "bicubic"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_fast_is_torchs_antialiased_resize(resize: RaggedResize, kernel: ResizeFilter, orientation: int) -> None:
    """Nothing is rounded on the way, so it is the ideal resize that torch computes in float64."""
    spec = spec_of("stretch", kernel)
    for size in [(31, 47), (9, 50), (60, 31)]:
        image = noise(*size)
        planes = torch.from_numpy(np.rot90(image, -1).copy() if orientation == 6 else image).permute(2, 0, 1)[None]
        ideal = torch.nn.functional.interpolate(
            planes.double(), (spec.height, spec.width), mode=kernel, align_corners=False, antialias=True
        )
        wanted = ideal[0].permute(1, 2, 0).clamp(0, 255)
        floats = resized(resize, [(image, orientation)], spec, exact=False, dtype=torch.float32)[0]
        assert (floats - wanted).abs().max() < 1e-3
        levels = resized(resize, [(image, orientation)], spec, exact=False)[0]
        assert (levels - wanted).abs().max() < 0.501


def test_fast_differs_from_pillow_by_its_rounding(resize: RaggedResize) -> None:
    """Pillow rounds after its first pass: on smooth pictures that is a level at most."""
    pictures = [(np.asarray(picture(*size)), 1) for size in [(45, 35), (25, 50), (15, 11)]]
    for mode in MODES:
        spec = spec_of(mode)
        assert difference(resized(resize, pictures, spec, exact=False), expected(pictures, spec)).max() <= 1


def test_the_kernel_and_the_twin_agree(kernel_resize: RaggedResize) -> None:
    pictures = stored(SIZES)
    for exact in (True, False):
        one = resized(kernel_resize, pictures, RGB, exact=exact, dtype=torch.float32)
        other = resized(twin.resize, pictures, RGB, exact=exact, dtype=torch.float32)
        assert (one - other).abs().max() <= (0 if exact else 1e-3)


def test_the_passes_come_in_pillows_order(resize: RaggedResize) -> None:
    """Pillow 13 or later, which chooses it: on noise, the wrong one would differ by several levels."""
    spec = spec_of("stretch")
    for size in [(60, 24), (60, 30), (40, 32), (24, 26), (19, 60), (21, 10)]:
        image = noise(*size)
        wanted = np.asarray(Image.fromarray(image).resize((spec.width, spec.height), Image.Resampling.BICUBIC))
        assert difference(resized(resize, [(image, 1)], spec)[0], wanted).max() == 0


@settings(max_examples=150)
@given(
    st.tuples(st.integers(1, 200), st.integers(1, 200)),
    st.integers(1, 8),
    st.sampled_from(MODES),
    st.sampled_from(FILTERS),
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.integers(1, 60),
    st.sampled_from([1, 3]),
)
def test_the_twin_prepares_any_shape_any_turn_any_spec(
    size: tuple[int, int],
    orientation: int,
    mode: ResizeMode,
    kernel: ResizeFilter,
    target: tuple[int, int],
    shorter: int,
    channels: int,
) -> None:
    spec = spec_of(mode, kernel, channels)
    spec = replace(spec, height=target[0], width=target[1], resize=replace(spec.resize, size=shorter))
    pictures = [(noise(*size, channels), orientation)]
    assert difference(resized(twin.resize, pictures, spec), expected(pictures, spec)).max() == 0


@settings(max_examples=10)
@given(st.tuples(st.integers(1, 60), st.integers(1, 60)), st.integers(1, 8), st.sampled_from(MODES), st.integers(1, 50))
def test_the_kernel_prepares_any_shape_any_turn(
    kernel_resize: RaggedResize, size: tuple[int, int], orientation: int, mode: ResizeMode, width: int
) -> None:
    spec = replace(spec_of(mode), width=width)
    pictures = [(noise(*size), orientation)]
    assert difference(resized(kernel_resize, pictures, spec), expected(pictures, spec)).max() == 0


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"pixels": torch.zeros(64)}, "pixels"),
        ({"table": torch.zeros((1, 3), dtype=torch.int64)}, "table"),
        ({"table": torch.zeros((0, COLUMNS), dtype=torch.int64)}, "table"),
        ({"out": torch.zeros((1, 3, 20, 24))}, "out"),
        ({"out": torch.zeros((1, 20, 24, 3), dtype=torch.float64)}, "out"),
        ({"out": torch.zeros((1, 20, 3, 24)).permute(0, 1, 3, 2)}, "out"),
        ({"normalisation": torch.zeros((2, 1))}, "normalisation"),
        ({"out": torch.zeros((1, 20, 24, 3), dtype=torch.uint8)}, "uint8"),
        ({"spec": replace(RGB, crop="none")}, "crop 'none'"),
    ],
)
def test_what_would_be_read_astray_is_refused(resize: RaggedResize, change: dict[str, object], fault: str) -> None:
    arguments: dict[str, object] = {
        "pixels": torch.zeros(64, dtype=torch.uint8),
        "table": torch.zeros((1, COLUMNS), dtype=torch.int64),
        "out": torch.zeros((1, 20, 24, 3)),
        "spec": RGB,
        "normalisation": torch.ones((2, 3)),
    }
    with pytest.raises(ValueError, match=fault):
        resize(**{**arguments, **change})  # type: ignore[arg-type]


def test_natural_photos_are_the_references(natural: list[tuple[str, NDArray[np.uint8]]]) -> None:
    """At a model's size, through the twin: the whole of what accuracy could lose."""
    spec: InputSpec = replace(RGB, height=224, width=224, resize=replace(RGB.resize, size=256))
    for name, image in natural:
        exact = difference(resized(twin.resize, [(image, 1)], spec)[0], preprocess(image, spec))
        fast = difference(resized(twin.resize, [(image, 1)], spec, exact=False)[0], preprocess(image, spec))
        assert exact.max() == 0, name
        assert fast.mean() < 0.3, name
        assert np.quantile(fast, 0.999) <= 1, name


@pytest.mark.gpu
@pytest.mark.skipif(DEVICE == "cpu", reason="needs a CUDA device")
def test_a_captured_launch_takes_whatever_pictures_come_next(kernel_resize: RaggedResize) -> None:
    packer = Packer.allocate(RGB, capacity_bytes=400_000, rows=4)
    whole = packer.largest_picture_bytes + 16
    pixels = torch.zeros(whole, dtype=torch.uint8, device=DEVICE)
    table = torch.from_numpy(packer.packed(4).table).to(DEVICE)
    out = torch.zeros((4, RGB.height, RGB.width, 3), dtype=torch.uint8, device=DEVICE)
    kernel_resize(pixels, table, out, RGB)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        kernel_resize(pixels, table, out, RGB)
    for pictures in (stored(SIZES[4:8]), stored(SIZES[:3])):
        packer.clear()
        for image, orientation in pictures:
            assert packer.add(image, orientation)
        packed = packer.packed(4)
        pixels[: packed.pixels.size].copy_(torch.from_numpy(packed.pixels))
        table.copy_(torch.from_numpy(packed.table))
        graph.replay()
        assert difference(out[: len(pictures)].cpu(), expected(pictures, RGB)).max() == 0
