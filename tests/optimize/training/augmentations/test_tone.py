"""The tones of the policies against Pillow's own."""

import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps
from torch import Tensor

from optimize.training.augmentations import tone
from tests.optimize.training.augmentations.drawing import from_pillow, pictures, to_pillow

CHANNELS = pytest.mark.parametrize("channels", [1, 3])


def worst(ours: Tensor, image: Image.Image) -> float:
    return float((ours - from_pillow(image)).abs().max())


@CHANNELS
@pytest.mark.parametrize("factor", [0.0, 0.4, 1.0, 1.9])
def test_sharpness(channels: int, factor: float) -> None:
    batch = pictures(2, channels)
    ours = tone.sharpness(batch, torch.tensor([1.0, factor]))
    assert worst(ours[1], ImageEnhance.Sharpness(to_pillow(batch[1])).enhance(factor)) < 2 / 255
    torch.testing.assert_close(ours[0], batch[0])


@CHANNELS
@pytest.mark.parametrize("bits", [1, 2, 4, 7, 8])
def test_posterize(channels: int, bits: int) -> None:
    batch = pictures(1, channels)
    ours = tone.posterize(batch, torch.tensor([float(bits)]))
    assert worst(ours[0], ImageOps.posterize(to_pillow(batch[0]), bits)) < 1e-6


@CHANNELS
@pytest.mark.parametrize("threshold", [0, 1, 100, 255])
def test_solarize(channels: int, threshold: int) -> None:
    batch = pictures(1, channels)
    ours = tone.solarize(batch, torch.tensor([threshold / 255]))
    assert worst(ours[0], ImageOps.solarize(to_pillow(batch[0]), threshold)) < 1e-6


@CHANNELS
def test_autocontrast(channels: int) -> None:
    batch = pictures(2, channels) * 0.5 + 0.2
    batch = (batch * 255).round() / 255
    batch[1, 0] = 0.4 * 255 // 1 / 255
    ours = tone.autocontrast(batch)
    for number in range(2):
        assert worst(ours[number], ImageOps.autocontrast(to_pillow(batch[number]))) < 1.01 / 255


@CHANNELS
@pytest.mark.parametrize("height", [3, 24, 40])
def test_equalize(channels: int, height: int) -> None:
    batch = pictures(4, channels, height)
    batch[3] = 0.2
    ours = tone.equalize(batch)
    for number in range(4):
        assert worst(ours[number], ImageOps.equalize(to_pillow(batch[number]))) < 1e-6
