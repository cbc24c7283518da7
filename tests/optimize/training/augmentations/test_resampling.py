"""Resampling against Pillow's resize and transforms, and against plain indexing."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from optimize.training.augmentations.border import Border
from optimize.training.augmentations.geometry import Frame, linear_maps, window_maps
from optimize.training.augmentations.resampling import resample, resize
from tests.optimize.training.augmentations.drawing import from_pillow, pictures, to_pillow


def double(*values: float) -> list[Tensor]:
    return [torch.tensor([value], dtype=torch.float64) for value in values]


def turned(degrees: float, frame: Frame, zoom: float = 1.0) -> Tensor:
    """What ``rotate`` makes, times a zoom: above 1 the result shows more, smaller."""
    angle = math.radians(degrees)
    return linear_maps(
        frame,
        *double(*(zoom * v for v in (math.cos(angle), -math.sin(angle)))),
        *double(*(zoom * v for v in (math.sin(angle), math.cos(angle)))),
    )


@pytest.mark.parametrize(("height", "width"), [(16, 16), (11, 23), (40, 31), (5, 7)])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_window_is_pillows_resize_of_a_box(height: int, width: int, channels: int) -> None:
    picture = pictures(1, channels, 30, 26)
    left, top, wide, high = 3.25, 1.5, 20.5, 24.75
    maps = window_maps(Frame(30, 26), *double(left, top, wide, high))
    ours = resample(picture, maps, height, width, "black")[0]
    image = to_pillow(picture[0])
    cut = image.crop((3, 1, 24, 27))
    pillow = image.resize((width, height), Image.Resampling.BILINEAR, box=(left, top, left + wide, top + high))
    assert cut.size == (21, 26)
    # Pillow rounds to 8 bits after each of its two passes, and cuts its kernel at the box: only the outermost
    # row and column may look beyond.
    inner = (slice(None), slice(1, -1), slice(1, -1))
    assert float((ours - from_pillow(pillow))[inner].abs().max()) < 1.5 / 255


@pytest.mark.parametrize(("height", "width"), [(16, 16), (11, 23), (40, 31), (1, 1), (60, 9)])
def test_resize_is_pillows(height: int, width: int) -> None:
    picture = pictures(1, 3, 30, 26)
    ours = resize(picture, height, width)[0]
    pillow = to_pillow(picture[0]).resize((width, height), Image.Resampling.BILINEAR)
    assert float((ours - from_pillow(pillow)).abs().max()) < 1.5 / 255
    by_weights = resample(picture, window_maps(Frame(30, 26), *double(1e-9, 1e-9, 26, 30)), height, width, "edge")[0]
    torch.testing.assert_close(by_weights, ours, atol=1e-4, rtol=0)


def test_a_picture_of_the_right_size_is_the_same_tensor() -> None:
    picture = pictures(2)
    assert resize(picture, 24, 24) is picture
    assert resample(picture, torch.eye(3, dtype=torch.float64).expand(2, 3, 3), 24, 24, "black") is picture


@pytest.mark.parametrize("degrees", [-140.0, -15.0, 7.5, 45.0, 90.0])
def test_rotation_is_pillows(degrees: float) -> None:
    picture = pictures(1, 3, 40, 30)
    ours = resample(picture, turned(degrees, Frame(40, 30)), 40, 30, "black")[0]
    pillow = from_pillow(to_pillow(picture[0]).rotate(degrees, Image.Resampling.BILINEAR))
    # What lies in or out of the picture by two pixels at least; at its very edge Pillow blends with nothing.
    rows, columns = np.mgrid[0:40, 0:30] + 0.5
    angle = math.radians(degrees)
    x = math.cos(angle) * (columns - 15) - math.sin(angle) * (rows - 20)
    y = math.sin(angle) * (columns - 15) + math.cos(angle) * (rows - 20)
    inside = torch.from_numpy((np.abs(x) < 13) & (np.abs(y) < 18))
    outside = torch.from_numpy((np.abs(x) > 17) | (np.abs(y) > 22))
    assert int(inside.sum()) > 300
    assert float((ours - pillow)[:, inside].abs().max()) < 2.5 / 255
    assert not ours[:, outside].any()


@pytest.mark.parametrize("zoom", [2.0, 3.0, 4.0])
def test_fine_stripes_become_grey_and_not_coarse_ones(zoom: float) -> None:
    """Shrunk stripes of one px, turned a little so that the general way is taken."""
    stripes = (torch.arange(64) % 2).float().expand(1, 1, 64, 64).contiguous()
    maps = turned(20, Frame(64, 64), zoom)
    ours = resample(stripes, maps, 64, 64, "reflect")
    grid = torch.nn.functional.affine_grid(maps[:, :2].float(), [1, 1, 64, 64], align_corners=False)
    naive = torch.nn.functional.grid_sample(stripes, grid, padding_mode="reflection", align_corners=False)
    assert float(naive.std()) > 0.15
    assert float(ours.std()) < 0.06  # half of what a triangle three wide leaves of such stripes, 1 / 9
    assert float(ours.mean()) == pytest.approx(0.5, abs=0.02)


def test_shrinking_by_weights_keeps_no_stripes_either() -> None:
    stripes = (torch.arange(64) % 2).float().expand(1, 1, 64, 64).contiguous()
    ours = resample(stripes, window_maps(Frame(64, 64), *double(2.3, 1.1, 58.4, 60.2)), 20, 20, "black")
    assert float((ours - 0.5).abs().max()) < 0.06


def edges(border: Border, array: np.ndarray, before: int, after: int) -> np.ndarray:  # type: ignore[type-arg]
    if border == "edge":
        return np.pad(array, ((before, after), (before, after)), "edge")
    if border == "reflect":
        return np.pad(array, ((before, after), (before, after)), "symmetric")
    return np.pad(array, ((before, after), (before, after)), constant_values=0.5 if border == "grey" else 0)


@pytest.mark.parametrize("border", ["black", "grey", "edge", "reflect"])
@pytest.mark.parametrize("way", ["copied", "filtered", "affine"])
@given(left=st.integers(-8, 8), top=st.integers(-8, 8))
def test_borders_are_numpys_pads_whichever_way_is_taken(border: Border, way: str, left: int, top: int) -> None:
    picture = pictures(1, 1, 12)
    maps = window_maps(Frame(12, 12), *double(left, top, 12, 12))
    if way == "filtered":
        maps[:, 0, 2] += 1e-5
    if way == "affine":
        maps[:, 0, 1] = 1e-7
    ours = resample(picture, maps, 12, 12, border)[0, 0].numpy()
    padded = edges(border, picture[0, 0].numpy(), 8, 8)
    expected = padded[8 + top : 20 + top, 8 + left : 20 + left]
    assert np.abs(ours - expected).max() < (1e-6 if way == "copied" else 1e-3)


def test_half_a_pixel_outside_is_half_border() -> None:
    white = torch.ones(1, 1, 8, 8)
    for slant in (0.0, 1e-9):
        maps = window_maps(Frame(8, 8), *double(-2.5, 0, 8, 8))
        maps[:, 1, 0] = slant
        row = resample(white, maps, 8, 8, "black")[0, 0, 4]
        torch.testing.assert_close(row, torch.tensor([0, 0, 0.5, 1, 1, 1, 1, 1]), atol=1e-5, rtol=0)


@given(st.booleans(), st.booleans(), st.integers(2, 20), st.integers(2, 20))
def test_mirroring_twice_is_nothing(across: bool, down: bool, height: int, width: int) -> None:
    picture = pictures(3, 1, height, width)
    signs = (1.0 - 2 * across, 1.0 - 2 * down)
    maps = linear_maps(Frame(height, width), *double(signs[0], 0, 0, signs[1])).expand(3, 3, 3)
    once = resample(picture, maps, height, width, "black")
    axes = [axis for axis, flipped in ((3, across), (2, down)) if flipped]
    assert torch.equal(once, picture.flip(axes))
    assert torch.equal(resample(once, maps, height, width, "black"), picture)


def test_each_picture_takes_its_own_map() -> None:
    batch = pictures(5)
    maps = torch.cat([turned(degrees, Frame(24, 24)) for degrees in (0, 10, -30, 90, 170)])
    together = resample(batch, maps, 24, 24, "grey")
    for number in range(5):
        alone = resample(batch[number : number + 1], maps[number : number + 1], 24, 24, "grey")
        torch.testing.assert_close(together[number : number + 1], alone, atol=2e-5, rtol=0)
