"""What each geometric augmentation draws: its range, its chance, where it looks."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from optimize.training.augmentations.boxes import draw_boxes
from optimize.training.augmentations.crop import Crop
from optimize.training.augmentations.flip import Flip
from optimize.training.augmentations.geometry import Frame
from optimize.training.augmentations.random_resized_crop import RandomResizedCrop
from optimize.training.augmentations.rotate import Rotate
from optimize.training.augmentations.scale import Scale
from optimize.training.augmentations.shear import Shear
from optimize.training.augmentations.translate import Translate
from tests.optimize.training.augmentations.drawing import draw, pictures

MANY = 4000
SQUARE = Frame(100, 100)


def test_flips_as_often_as_asked() -> None:
    maps = Flip(horizontal=0.3, vertical=0.8).maps(MANY, SQUARE, draw())
    assert float((maps[:, 0, 0] < 0).float().mean()) == pytest.approx(0.3, abs=0.03)
    assert float((maps[:, 1, 1] < 0).float().mean()) == pytest.approx(0.8, abs=0.03)


def test_a_certain_flip_is_torchs_and_twice_is_nothing() -> None:
    batch = pictures(3)
    flip = Flip(horizontal=1.0)
    assert torch.equal(flip(batch, draw()), batch.flip(3))
    assert torch.equal(flip(flip(batch, draw()), draw()), batch)


def test_turns_evenly_within_the_range() -> None:
    maps = Rotate(degrees=30.0, probability=0.75).maps(MANY, SQUARE, draw())
    degrees = torch.rad2deg(torch.atan2(maps[:, 1, 0], maps[:, 0, 0]))
    turned = degrees[degrees != 0]
    assert len(turned) / MANY == pytest.approx(0.75, abs=0.03)
    assert float(turned.abs().max()) <= 30
    assert float(turned.abs().mean()) == pytest.approx(15, abs=0.6)
    assert float(turned.mean()) == pytest.approx(0, abs=1.2)


def test_a_turn_keeps_shapes_in_pictures_that_are_not_square() -> None:
    """In px the map is a rotation: it changes no distance."""
    frame = Frame(40, 100)
    maps = Rotate(degrees=80.0).maps(50, frame, draw())
    to_px = torch.diag(torch.tensor([50.0, 20.0], dtype=torch.float64))
    in_px = to_px @ maps[:, :2, :2] @ to_px.inverse()
    torch.testing.assert_close(in_px @ in_px.transpose(1, 2), torch.eye(2, dtype=torch.float64).expand(50, 2, 2))


def test_scales_as_often_up_as_down() -> None:
    factors = 1 / Scale(range=(0.5, 2.0)).maps(MANY, SQUARE, draw())[:, 0, 0]
    assert 0.5 <= float(factors.min()) < 0.52
    assert 1.95 < float(factors.max()) <= 2
    assert float((factors > 1).float().mean()) == pytest.approx(0.5, abs=0.03)


def test_scaling_by_half_shows_the_picture_in_the_middle() -> None:
    white = torch.ones(1, 1, 16, 16)
    scale = Scale(range=(0.49999, 0.5))
    shown = scale(white, draw(16))[0, 0]
    assert float(shown[5:11, 5:11].min()) > 0.99
    assert float(shown[:3].max()) == 0
    assert float(shown.mean()) == pytest.approx(0.25, abs=0.01)


@given(st.integers(0, 10**6), st.floats(0.01, 0.9), st.floats(0, 0.9))
def test_moves_by_whole_pixels_within_the_range(seed: int, horizontal: float, vertical: float) -> None:
    maps = Translate(horizontal=horizontal, vertical=vertical).maps(20, Frame(30, 50), draw(seed=seed))
    x, y = maps[:, 0, 2] * 25, maps[:, 1, 2] * 15
    torch.testing.assert_close(x, x.round())
    torch.testing.assert_close(y, y.round())
    assert float(x.abs().max()) <= round(horizontal * 50) + 1e-6
    assert float(y.abs().max()) <= round(vertical * 30) + 1e-6


def test_shears_to_the_angle_in_px() -> None:
    maps = Shear(horizontal=30.0).maps(MANY, Frame(40, 100), draw())
    lean = torch.rad2deg(torch.atan(maps[:, 0, 1] * 100 / 40))
    assert 29 < float(lean.abs().max()) <= 30
    assert not maps[:, 1, 0].any()
    sideways = Shear(horizontal=0.0, vertical=20.0).maps(MANY, Frame(40, 100), draw())
    assert float((sideways[:, 1, 0] * 40 / 100).abs().max()) <= math.tan(math.radians(20)) + 1e-9
    assert not sideways[:, 0, 1].any()


@given(
    st.integers(0, 10**6),
    st.tuples(st.integers(4, 60), st.integers(4, 60)),
    st.tuples(st.integers(4, 60), st.integers(4, 60)),
    st.floats(0.05, 0.9),
)
def test_windows_lie_inside(seed: int, stored: tuple[int, int], drawn: tuple[int, int], smallest: float) -> None:
    crop = RandomResizedCrop(scale=(smallest, 1.0))
    maps = crop.maps(30, Frame(*stored), draw(*drawn, seed=seed))
    reach = maps[:, :2, :2].abs().sum(2) + maps[:, :2, 2].abs()
    assert float(reach.max()) <= 1 + 1e-9


def test_windows_have_the_areas_and_shapes_asked_for() -> None:
    maps = RandomResizedCrop(scale=(0.2, 0.6), ratio=(0.5, 2.0)).maps(MANY, SQUARE, draw())
    wide, high = maps[:, 0, 0], maps[:, 1, 1]
    area, ratio = wide * high, wide / high
    assert 0.2 <= float(area.min()) < 0.21
    assert 0.59 < float(area.max()) <= 0.6 + 1e-9
    assert float(area.mean()) == pytest.approx(0.4, abs=0.01)
    assert 0.5 <= float(ratio.min()) < 0.52
    assert float((ratio > 1).float().mean()) == pytest.approx(0.5, abs=0.03)
    assert float(maps[:, 0, 2].mean()) == pytest.approx(0, abs=0.01)


def test_ratio_1_distorts_nothing_though_the_result_is_wide() -> None:
    maps = RandomResizedCrop(scale=(0.1, 0.5), ratio=(1.0, 1.0)).maps(200, Frame(60, 60), draw(10, 20))
    torch.testing.assert_close(maps[:, 0, 0] / maps[:, 1, 1], torch.full((200,), 2.0, dtype=torch.float64))


def test_a_box_that_can_never_fit_is_cut() -> None:
    high, wide = draw_boxes(50, (10, 100), (0.9, 1.0), (0.9, 1.1), draw())
    assert float(high.max()) <= 10
    assert float(wide.max()) <= 100


@given(st.integers(0, 10**6), st.integers(0, 9), st.floats(0.2, 1.0))
def test_crops_are_windows_of_the_padded_picture(seed: int, padding: int, share: float) -> None:
    side = max(1, round(share * 20))
    if not padding and side == 20:
        return
    batch = pictures(1, 1, 20)
    shown = Crop(padding=padding, share=share)(batch, draw(side, seed=seed))[0, 0]
    padded = torch.nn.functional.pad(batch, (padding,) * 4)[0, 0]
    windows = padded.unfold(0, side, 1).unfold(1, side, 1)
    assert bool((windows - shown).abs().amax((2, 3)).min() < 1e-6)


def test_crops_reach_every_place_evenly() -> None:
    maps = Crop(padding=2).maps(MANY, Frame(10, 10), draw())
    left, counts = torch.unique((maps[:, 0, 2] * 5).round(), return_counts=True)
    assert left.tolist() == [-2, -1, 0, 1, 2]
    assert float(counts.min()) > MANY / 5 * 0.85
