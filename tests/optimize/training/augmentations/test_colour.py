"""Changes of colour against Pillow's ImageEnhance and the standard library's YIQ."""

import cmath
import colorsys
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import ImageEnhance
from torch import Tensor

from optimize.training.augmentations import colour
from optimize.training.augmentations.colour_jitter import ColourJitter
from optimize.training.augmentations.grey import Grey
from tests.optimize.training.augmentations.drawing import draw, from_pillow, pictures, to_pillow


def one(value: float) -> Tensor:
    return torch.tensor([value], dtype=torch.float64)


@pytest.mark.parametrize("factor", [0.0, 0.3, 1.0, 1.7])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation"])
def test_each_is_pillows(name: str, channels: int, factor: float) -> None:
    picture = pictures(1, channels)
    change, enhancer = {
        "brightness": (colour.brightness, ImageEnhance.Brightness),
        "contrast": (colour.contrast, ImageEnhance.Contrast),
        "saturation": (colour.saturation, ImageEnhance.Color),
    }[name]
    ours = colour.apply_mixing(picture, *change(one(factor)))[0]
    pillow = from_pillow(enhancer(to_pillow(picture[0])).enhance(factor))
    assert float((ours - pillow).abs().max()) < 2 / 255


@given(st.floats(-0.5, 0.5), st.tuples(*[st.floats(0.2, 0.8)] * 3))
def test_hue_turns_in_the_yiq_of_the_standard_library(turn: float, rgb: tuple[float, float, float]) -> None:
    picture = torch.tensor(rgb)[None, :, None, None]
    turned = colour.apply_mixing(picture, *colour.hue(one(turn)))[0, :, 0, 0].tolist()
    y, i, q = colorsys.rgb_to_yiq(*rgb)
    chroma = complex(i, q) * cmath.exp(2j * math.pi * turn)
    expected = colorsys.yiq_to_rgb(y, chroma.real, chroma.imag)
    assert turned == pytest.approx(expected, abs=0.012)


@given(st.floats(-0.5, 0.5), st.floats(0, 1))
def test_grey_has_no_hue_to_turn(turn: float, level: float) -> None:
    picture = torch.full((1, 3, 2, 2), level)
    for change in (colour.hue(one(turn)), colour.saturation(one(turn + 1))):
        torch.testing.assert_close(colour.apply_mixing(picture, *change), picture, atol=1e-5, rtol=0)


@given(st.lists(st.sampled_from(["brightness", "contrast", "saturation", "hue"]), min_size=2, max_size=6), st.data())
def test_composed_is_one_after_another(names: list[str], data: st.DataObject) -> None:
    """In float64 and before anything is cut off, as the composition is exact."""
    amounts = [data.draw(st.floats(0.6, 1.4)) - (name == "hue") for name in names]
    steps = [getattr(colour, name)(one(amount)) for name, amount in zip(names, amounts, strict=True)]
    pixels = torch.rand(1, 3, 50, generator=draw().generator, dtype=torch.float64)
    step_by_step = pixels
    for keep, spread in steps:
        step_by_step = keep @ step_by_step + spread @ step_by_step.mean(2, keepdim=True)
    keep, spread = colour.compose(steps)
    torch.testing.assert_close(keep @ pixels + spread @ pixels.mean(2, keepdim=True), step_by_step)


def test_jitter_draws_its_range_and_its_order() -> None:
    jitter = ColourJitter(brightness=0.5, contrast=0.0, saturation=0.0, probability=0.5)
    keep, spread = jitter.mixing(4000, draw())
    factors = keep[:, 0, 0]
    changed = factors[factors != 1]
    assert len(changed) / 4000 == pytest.approx(0.5, abs=0.03)
    assert 0.5 <= float(changed.min()) < 0.52
    assert 1.48 < float(changed.max()) <= 1.5
    assert float(changed.mean()) == pytest.approx(1, abs=0.02)
    assert not spread.any()
    # Brightness before or after contrast: the mean grey mixed in is of the changed or the unchanged picture.
    first = ColourJitter(brightness=1.0, contrast=1.0, saturation=0.0).mixing(1000, draw())
    brightness_times_contrast = first[0][:, 0, 0]
    assert len(set(brightness_times_contrast.tolist())) == 1000


def test_one_channel_is_three_equal_ones() -> None:
    grey = pictures(6, 1)
    jitter = ColourJitter(hue=0.3)
    ours = jitter(grey, draw())
    three = jitter(grey.expand(-1, 3, -1, -1), draw())
    torch.testing.assert_close(ours, three[:, :1], atol=1e-5, rtol=0)
    torch.testing.assert_close(three[:, 0], three[:, 2], atol=1e-5, rtol=0)


def test_grey_is_pillows_luma_and_as_often_as_asked() -> None:
    batch = pictures(400, height=4)
    changed = Grey(probability=0.2)(batch, draw(4))
    is_grey = (changed.amax(1) - changed.amin(1)).amax((1, 2)) < 1e-4
    assert float(is_grey.float().mean()) == pytest.approx(0.2, abs=0.06)
    number = int(is_grey.nonzero()[0])
    luma = from_pillow(to_pillow(batch[number]).convert("L"))
    assert float((changed[number] - luma).abs().max()) < 1 / 255
    torch.testing.assert_close(changed[~is_grey], batch[~is_grey], atol=1e-6, rtol=0)
