"""Maps to look at: levels, PNG, where they lie; and that they point at what a photo shows."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray
from PIL import Image

from model_zoo.heat_map import grid_levels, grid_png, map_box, overlay
from model_zoo.onnx_run import open_graph
from model_zoo.preprocess import preprocess
from model_zoo.spec import InputSpec, Resize
from model_zoo.store import shipped_store
from tests.model_zoo.labelled_photos import photo_files

GRIDS = arrays(np.float32, array_shapes(min_dims=2, max_dims=2, max_side=20), elements=st.floats(-1e6, 1e6, width=32))


@given(GRIDS)
def test_levels_are_shares_of_the_largest_value(grid: NDArray[np.float32]) -> None:
    levels = grid_levels(grid)
    assert (levels.shape, levels.dtype) == (grid.shape, np.uint8)
    assert not levels[grid <= 0].any()
    largest = float(grid.max())
    if largest > 0:
        expected = np.maximum(grid.astype(np.float64), 0) / largest * 255
        assert np.abs(levels - expected).max() <= 0.51
        assert levels.max() == 255
    else:
        assert not levels.any()


@given(GRIDS)
def test_pillow_reads_the_png_as_the_levels(grid: NDArray[np.float32]) -> None:
    with Image.open(io.BytesIO(grid_png(grid))) as image:
        image.load()
        assert (image.format, image.mode) == ("PNG", "L")
        np.testing.assert_array_equal(np.asarray(image), grid_levels(grid))


def test_a_map_of_seven_by_seven_is_some_hundred_bytes() -> None:
    grid = np.random.default_rng(0).random((7, 7), np.float32)
    assert len(grid_png(grid)) < 150


def spec_of(mode: str, height: int = 224, width: int = 224) -> InputSpec:
    resize = Resize(mode, 256, "bilinear")  # type: ignore[arg-type]
    crop = "centre" if mode == "shorter_side" else "none"
    return InputSpec(height, width, 3, "rgb", resize, crop, (0.0,) * 3, (1.0,) * 3)


@pytest.mark.parametrize(
    ("mode", "size", "box"),
    [
        # The crop's 224 of 256 px of the shorter side: 350 of 400, 25 px from each of its edges.
        ("shorter_side", (400, 400), (25, 25, 375, 375)),
        ("shorter_side", (800, 400), (225, 25, 575, 375)),
        ("stretch", (640, 480), (0, 0, 640, 480)),
        # A square as wide as the picture; 80 px above and below show grey.
        ("letterbox", (640, 480), (0, -80, 640, 560)),
        ("letterbox", (300, 600), (-150, 0, 450, 600)),
    ],
)
def test_boxes_that_can_be_counted_by_hand(
    mode: str, size: tuple[int, int], box: tuple[float, float, float, float]
) -> None:
    assert map_box(*size, spec_of(mode)) == pytest.approx(box)


@pytest.mark.parametrize("mode", ["shorter_side", "stretch", "letterbox"])
@given(width=st.integers(120, 700), height=st.integers(120, 700), x=st.floats(-0.1, 0.1), y=st.floats(-0.1, 0.1))
def test_what_lies_at_a_place_of_the_box_lies_there_in_the_input(
    mode: str, width: int, height: int, x: float, y: float
) -> None:
    """A bright square of a black picture, found again in the model's input, and led back by the box."""
    spec = spec_of(mode, height=160, width=200)
    picture = np.zeros((height, width, 3), np.uint8)
    shorter = min(width, height)
    left, top = round(width / 2 + x * shorter) - 8, round(height / 2 + y * shorter) - 8
    picture[top : top + 16, left : left + 16] = 255
    light = preprocess(picture, spec)[:, :, 0].astype(np.float64)
    if mode == "letterbox":
        light[light == 114] = 0
    rows, columns = np.mgrid[: spec.height, : spec.width] + 0.5
    box = map_box(width, height, spec)
    found_x = box[0] + (light * columns).sum() / light.sum() / spec.width * (box[2] - box[0])
    found_y = box[1] + (light * rows).sum() / light.sum() / spec.height * (box[3] - box[1])
    assert (found_x, found_y) == (pytest.approx(left + 8, abs=1.5), pytest.approx(top + 8, abs=1.5))


def test_an_overlay_is_red_where_the_map_is_and_grey_elsewhere() -> None:
    picture = np.full((60, 100, 3), (200, 30, 30), np.uint8)
    luma = round(0.299 * 200 + 0.587 * 30 + 0.114 * 30)
    grid = np.zeros((4, 4), np.float32)
    grid[0, 3] = 5
    covered = overlay(picture, grid, (20, -10, 100, 70))
    assert covered.shape == picture.shape
    red, green = covered[:, :, 0].astype(int), covered[:, :, 1].astype(int)
    assert red[5, 92] - green[5, 92] > 100
    assert np.abs(covered[:, :50].astype(int) - luma).max() <= 1
    assert np.abs(overlay(picture, -grid, (0, 0, 100, 60)).astype(int) - luma).max() <= 1


CORNERS = [(0, 0), (220, 0), (0, 220), (220, 220)]


@pytest.mark.parametrize("corner", CORNERS, ids=["top left", "top right", "bottom left", "bottom right"])
def test_maps_of_the_shipped_model_follow_the_object(corner: tuple[int, int]) -> None:
    """Twenty photos, each in every corner of a grey picture: the map's centre of mass lies on the photo."""
    bundle = shipped_store().open("efficientnet_lite0")
    spec, run = bundle.spec.input, open_graph(bundle.read_model(), "images")
    side, left, top = 180, *corner
    for file, _ in photo_files():
        with Image.open(file) as image:
            photo = image.convert("RGB").resize((side, side))
        canvas = Image.new("RGB", (400, 400), (124, 116, 104))
        canvas.paste(photo, (left, top))
        outputs = run(preprocess(np.asarray(canvas), spec)[None])
        grid = np.maximum(np.asarray(outputs["class_activation"])[0], 0)
        x, y = centre_of_mass(grid, map_box(400, 400, spec))
        assert left <= x <= left + side, file.stem
        assert top <= y <= top + side, file.stem


def centre_of_mass(grid: NDArray[np.float32], box: tuple[float, float, float, float]) -> tuple[float, float]:
    """In pixels of the picture."""
    height, width = grid.shape
    rows, columns = np.mgrid[:height, :width] + 0.5
    x, y = (grid * columns).sum() / grid.sum() / width, (grid * rows).sum() / grid.sum() / height
    return box[0] + x * (box[2] - box[0]), box[1] + y * (box[3] - box[1])
