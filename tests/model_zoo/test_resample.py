"""Resizing without antialiasing against torch in float64, OpenCV and Pillow."""

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from skimage import data

from model_zoo.placement import Axis
from model_zoo.resample import resample
from model_zoo.spec import ResizeFilter

PHOTO: NDArray[np.uint8] = data.astronaut()[:300]
SIZES = [(224, 160), (512, 300), (700, 450), (37, 511)]


def whole(image: NDArray[np.uint8], width: int, height: int, kernel: ResizeFilter) -> NDArray[np.uint8]:
    x = Axis(image.shape[1], width, 0, width)
    y = Axis(image.shape[0], height, 0, height)
    return resample(image, x, y, kernel)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kernel", ["bilinear", "bicubic"])
def test_as_torch(size: tuple[int, int], kernel: ResizeFilter) -> None:
    planes = torch.from_numpy(PHOTO).permute(2, 0, 1)[None].double()
    wide = torch.nn.functional.interpolate(planes, size[::-1], mode=kernel, align_corners=False, antialias=False)
    expected = wide[0].permute(1, 2, 0).clamp(0, 255).numpy()
    assert np.abs(whole(PHOTO, *size, kernel) - expected).max() <= 0.51


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("kernel", "flag"), [("bilinear", cv2.INTER_LINEAR), ("bicubic", cv2.INTER_CUBIC)])
def test_as_opencv(size: tuple[int, int], kernel: ResizeFilter, flag: int) -> None:
    expected = cv2.resize(PHOTO, size, interpolation=flag).astype(int)
    difference = np.abs(whole(PHOTO, *size, kernel) - expected)
    assert difference.max() <= 2
    assert difference.mean() < 0.2


def untied(source: int, target: int) -> list[int]:
    """Output pixels whose centre is not exactly between two input pixels, where rounding decides."""
    return [i for i in range(target) if (2 * i + 1) * source % (2 * target)]


@pytest.mark.parametrize("size", SIZES)
def test_nearest_as_pillow(size: tuple[int, int]) -> None:
    expected = np.asarray(Image.fromarray(PHOTO).resize(size, Image.Resampling.NEAREST))
    clear = np.ix_(untied(PHOTO.shape[0], size[1]), untied(PHOTO.shape[1], size[0]))
    assert np.array_equal(whole(PHOTO, *size, "nearest")[clear], expected[clear])


def test_lanczos_enlarging_as_pillow_in_float() -> None:
    inner = (slice(8, -8), slice(8, -8))
    ours = whole(PHOTO, 700, 450, "lanczos")
    for channel in range(3):
        plane = Image.fromarray(PHOTO[:, :, channel].astype(np.float32))
        expected = np.asarray(plane.resize((700, 450), Image.Resampling.LANCZOS)).clip(0, 255)
        assert np.abs(ours[:, :, channel][inner] - expected[inner]).max() <= 0.51


@given(
    st.sampled_from(["nearest", "bilinear", "bicubic", "lanczos"]),
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.tuples(st.integers(1, 60), st.integers(1, 60)),
    st.integers(0, 255),
)
def test_one_colour_stays_that_colour(
    kernel: ResizeFilter, source: tuple[int, int], target: tuple[int, int], level: int
) -> None:
    result = whole(np.full((*source, 3), level, np.uint8), *target, kernel)
    assert result.shape == (target[1], target[0], 3)
    assert (result == level).all()


@given(st.integers(10, 60), st.integers(10, 60), st.integers(0, 5), st.integers(1, 5))
def test_a_window_is_cut_from_the_whole(width: int, height: int, start: int, length: int) -> None:
    image = PHOTO[:33, :47]
    window = resample(image, Axis(47, width, start, length), Axis(33, height, start + 1, length), "bicubic")
    expected = whole(image, width, height, "bicubic")[start + 1 : start + 1 + length, start : start + length]
    assert np.array_equal(window, expected)
