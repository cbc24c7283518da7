"""Geometry against torchvision's and Ultralytics' formulas, written out again here."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_zoo.placement import Axis, Placement, place
from model_zoo.spec import Crop, InputSpec, Resize, ResizeMode

SIDE = st.integers(1, 5000)


def spec(mode: ResizeMode, width: int, height: int, size: int = 256, crop: Crop = "centre") -> InputSpec:
    return InputSpec(height, width, 3, "rgb", Resize(mode, size), crop, (0.0,) * 3, (1.0,) * 3)


@given(SIDE, SIDE, st.sampled_from([(256, 224), (232, 224), (224, 224), (260, 227)]))
def test_shorter_side_as_torchvision(width: int, height: int, sizes: tuple[int, int]) -> None:
    size, crop = sizes
    short, long = (width, height) if width <= height else (height, width)
    new_short, new_long = size, int(size * long / short)
    new_width, new_height = (new_short, new_long) if width <= height else (new_long, new_short)
    placement = place(width, height, spec("shorter_side", crop, crop, size))
    assert (placement.x.scaled, placement.y.scaled) == (new_width, new_height)
    assert placement.x.start == round((new_width - crop) / 2.0)
    assert placement.y.start == round((new_height - crop) / 2.0)
    assert placement.fills_input


def test_a_crop_larger_than_the_picture_is_padded_as_torchvision() -> None:
    placement = place(100, 200, spec("shorter_side", width=300, height=300, size=101))
    assert placement.x == Axis(100, 101, -99, 300)
    assert placement.y == Axis(200, 202, -49, 300)
    assert not placement.fills_input
    assert placement.fill == 0


@given(SIDE, SIDE, st.integers(1, 700), st.integers(1, 700))
def test_stretch_shows_all_of_it(width: int, height: int, to_width: int, to_height: int) -> None:
    placement = place(width, height, spec("stretch", to_width, to_height, crop="none"))
    assert placement == Placement(Axis(width, to_width, 0, to_width), Axis(height, to_height, 0, to_height), 0)
    assert placement.x.box == (0, width)


@given(SIDE, SIDE, st.integers(32, 700), st.integers(32, 700))
def test_letterbox_as_ultralytics(width: int, height: int, to_width: int, to_height: int) -> None:
    ratio = min(to_height / height, to_width / width)
    unpadded = round(width * ratio), round(height * ratio)
    placement = place(width, height, spec("letterbox", to_width, to_height, crop="none"))
    if min(unpadded) >= 1:
        assert (placement.x.scaled, placement.y.scaled) == unpadded
        assert placement.x.padding == round((to_width - unpadded[0]) / 2 - 0.1)
        assert placement.y.padding == round((to_height - unpadded[1]) / 2 - 0.1)
    assert placement.fill == 114
    assert placement.x.high - placement.x.low == placement.x.scaled
    assert placement.y.high - placement.y.low == placement.y.scaled


@given(SIDE, SIDE, st.integers(1, 8), st.sampled_from(["shorter_side", "stretch", "letterbox"]))
def test_turning_the_window_turns_the_box(width: int, height: int, orientation: int, mode: ResizeMode) -> None:
    placement = place(width, height, spec(mode, 224, 192))
    stored = placement.before_turning(orientation)
    lengths = (stored.x.length, stored.y.length)
    assert lengths == ((192, 224) if orientation >= 5 else (224, 192))
    axis = stored.y if orientation >= 5 else stored.x
    low, high = axis.box
    if axis == placement.x:
        assert (low, high) == placement.x.box
    else:
        assert (width - high, width - low) == pytest.approx(placement.x.box)
    assert axis.mirrored().mirrored() == axis


def test_a_shorter_side_without_a_crop_has_no_fixed_size() -> None:
    with pytest.raises(ValueError, match="crop 'centre'"):
        place(10, 20, spec("shorter_side", 224, 224, crop="none"))
