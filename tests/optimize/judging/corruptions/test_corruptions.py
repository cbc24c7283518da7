"""Corruptions: what all keep to, and each against an independent way to its figures."""

import colorsys
import io
import math
from itertools import pairwise

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.ndimage import gaussian_filter
from torch import Generator, Tensor

from optimize.errors import DataError
from optimize.judging.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from optimize.judging.corruptions.blur import disc, pixel_disc, stroke
from optimize.judging.corruptions.digital import box_weights
from optimize.judging.corruptions.elastic import affine_maps
from optimize.judging.corruptions.weather import plasma
from tests.optimize.training.augmentations.drawing import from_pillow, pictures, to_pillow


def seeded(seed: int = 1) -> Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("name", list(CORRUPTIONS))
@settings(max_examples=6)
@given(
    st.sampled_from(SEVERITIES),
    st.sampled_from([1, 3]),
    st.sampled_from([(28, 28), (32, 20), (7, 7), (70, 66), (96, 65)]),
    st.integers(0, 10**6),
)
def test_same_shape_in_0_to_1_and_the_generator_alone_decides(
    name: str, severity: int, channels: int, size: tuple[int, int], seed: int
) -> None:
    batch = torch.rand(3, channels, *size, generator=seeded(seed))
    kept = batch.clone()
    worse = corrupt(batch, name, severity, seeded(seed))
    assert worse.shape == batch.shape
    assert worse.dtype == torch.float32
    assert bool(torch.isfinite(worse).all())
    assert 0 <= float(worse.min()) <= float(worse.max()) <= 1
    assert torch.equal(batch, kept)
    assert torch.equal(corrupt(batch, name, severity, seeded(seed)), worse)


@pytest.mark.parametrize("name", list(CORRUPTIONS))
@pytest.mark.parametrize(("channels", "size"), [(1, 28), (3, 128)])
def test_more_severe_is_farther_from_the_picture(name: str, channels: int, size: int) -> None:
    batch = pictures(8, channels, size)
    away = [float((corrupt(batch, name, severity, seeded()) - batch).abs().mean()) for severity in SEVERITIES]
    assert away[0] > 0.002
    if name != "elastic":  # whose five are of different kinds, in the paper too
        # zoom blur's third has every second of its second's pictures, in the paper too
        assert all(more > less * 0.98 for less, more in pairwise(away))
        assert away[4] > away[0] * 1.05


def test_unknown_names_and_severities_are_refused() -> None:
    with pytest.raises(DataError, match="did you mean 'zoom_blur'"):
        corrupt(pictures(1), "zoomblur", 1, seeded())
    with pytest.raises(DataError, match="1 to 5, not 6"):
        corrupt(pictures(1), "fog", 6, seeded())


def grey(level: float, size: int = 224) -> Tensor:
    return torch.full((2, 3, size, size), level)


@pytest.mark.parametrize(("size", "deviation"), [(224, 0.12), (32, 0.06)])
def test_gaussian_noise_is_as_strong_as_the_papers(size: int, deviation: float) -> None:
    grain = corrupt(grey(0.5, size), "gaussian_noise", 2, seeded()) - 0.5
    assert float(grain.std()) == pytest.approx(deviation, rel=0.03)
    assert float(grain.mean()) == pytest.approx(0, abs=0.005)


@pytest.mark.parametrize(("size", "photons"), [(224, 25), (32, 250)])
def test_shot_noise_has_poissons_variance(size: int, photons: int) -> None:
    counted = corrupt(grey(0.4, size), "shot_noise", 2, seeded())
    assert float(counted.var()) == pytest.approx(0.4 / photons, rel=0.06)
    torch.testing.assert_close(counted * photons, (counted * photons).round(), atol=1e-4, rtol=0)


@pytest.mark.parametrize(("size", "amount"), [(224, 0.06), (32, 0.02)])
def test_impulse_noise_hits_as_many_values_half_black_half_white(size: int, amount: float) -> None:
    hit = corrupt(grey(0.5, size), "impulse_noise", 2, seeded())
    assert float((hit != 0.5).float().mean()) == pytest.approx(amount, rel=0.15)
    assert set(hit.unique().tolist()) == {0.0, 0.5, 1.0}
    assert float((hit == 1).float().mean()) == pytest.approx(amount / 2, rel=0.25)


@given(st.floats(3, 12), st.floats(0.05, 1))
def test_the_disc_has_a_discs_width(radius: float, softness: float) -> None:
    """Variances add: a disc's r²/4, the Gaussian's, and a pixel's 1/12."""
    kernel = disc(radius, softness).numpy()
    places = np.arange(len(kernel)) - len(kernel) // 2
    assert kernel.sum() == pytest.approx(1)
    np.testing.assert_allclose(kernel, kernel.T, atol=1e-12)
    assert (kernel.sum(0) * places**2).sum() == pytest.approx(radius**2 / 4 + softness**2 + 1 / 12, rel=0.12)


@pytest.mark.parametrize(("radius", "softness"), [(0.3, 0.4), (0.5, 0.6), (1, 0.2), (1.5, 0.1)])
def test_a_tiny_disc_is_opencvs(radius: float, softness: float) -> None:
    rows, columns = np.mgrid[-8:9, -8:9]
    covered = (rows**2 + columns**2 <= radius**2).astype(np.float64)
    expected = cv2.GaussianBlur(covered / covered.sum(), (3, 3), softness)
    ours = pixel_disc(radius, softness).numpy()
    half = len(ours) // 2
    np.testing.assert_allclose(ours, expected[8 - half : 9 + half, 8 - half : 9 + half], atol=1e-7)
    assert ours.sum() == pytest.approx(1)


@given(st.floats(0.01, 2), st.floats(0.01, 1))
def test_a_disc_of_any_size_is_a_kernel(radius: float, softness: float) -> None:
    kernel = disc(radius, softness)
    assert kernel.shape[0] % 2 == 1
    assert float(kernel.sum()) == pytest.approx(1)
    assert float(kernel.min()) >= 0


def test_a_defocused_point_is_a_disc() -> None:
    point = torch.zeros(1, 1, 224, 224)
    point[0, 0, 112, 112] = 1
    blurred = corrupt(point, "defocus_blur", 3, seeded())[0, 0]
    rows, columns = np.mgrid[0:224, 0:224] - 112
    away = torch.from_numpy(np.hypot(rows, columns))
    assert float(blurred.sum()) == pytest.approx(1, abs=1e-3)
    torch.testing.assert_close(
        blurred[away < 4], torch.full_like(blurred[away < 4], 1 / (math.pi * 36)), rtol=0.03, atol=0
    )
    assert float(blurred[away > 9].max()) < 1e-6


def test_a_stroke_is_half_a_gaussian() -> None:
    weights = np.array(stroke(10, 3))
    assert len(weights) == 21
    assert weights.sum() == pytest.approx(1)
    np.testing.assert_allclose(weights / weights[0], np.exp(-(np.arange(21) ** 2) / 18))


def test_a_moved_point_is_a_line_within_45_degrees() -> None:
    points = torch.zeros(40, 1, 224, 224)
    points[:, 0, 112, 112] = 1
    moved = corrupt(points, "motion_blur", 5, seeded())
    rows, columns = torch.arange(224.0) - 112, torch.arange(224.0) - 112
    down = (moved[:, 0] * rows[:, None]).sum((1, 2))
    across = (moved[:, 0] * columns).sum((1, 2))
    torch.testing.assert_close(moved.sum((1, 2, 3)), torch.ones(40))
    # a half Gaussian's mean is σ · √(2 / π); a little less, for it is cut at 40 px
    torch.testing.assert_close(
        torch.hypot(down, across), torch.full((40,), 15 * math.sqrt(2 / math.pi)), rtol=0.06, atol=0
    )
    angles = torch.rad2deg(torch.atan2(-down, -across))
    assert float(angles.abs().max()) < 46
    assert float(angles.std()) > 15


def test_zoom_blur_keeps_the_middle_and_smears_the_rim() -> None:
    batch = (torch.arange(224) % 8 < 4).float().expand(1, 1, 224, 224).contiguous()
    blurred = corrupt(batch, "zoom_blur", 2, seeded())[0, 0]
    assert float(blurred[:, 108:116].std()) > 0.4
    assert float(blurred[:, 4:40].std()) < 0.25


@given(st.integers(0, 10**6), st.integers(1, 8), st.floats(1.2, 4))
def test_clouds_fill_0_to_1_and_are_smooth(seed: int, power: int, decay: float) -> None:
    clouds = plasma(2, 2**power, decay, seeded(seed))
    assert clouds.amin((1, 2)).tolist() == [0, 0]
    assert clouds.amax((1, 2)).tolist() == [1, 1]


def test_quicker_decay_is_smoother_cloud() -> None:
    def roughness(decay: float) -> float:
        clouds = plasma(20, 64, decay, seeded())
        return float((clouds - clouds.roll(1, 2)).abs().mean())

    assert roughness(3.0) < roughness(2.0) < roughness(1.4)


def test_fog_on_black_is_black_and_never_brighter_than_the_brightest() -> None:
    assert not corrupt(grey(0.0, 64), "fog", 3, seeded()).any()
    batch = pictures(4, 3, 64) * 0.7
    assert bool((corrupt(batch, "fog", 3, seeded()).amax((1, 2, 3)) <= batch.amax((1, 2, 3)) + 1e-6).all())


@given(st.tuples(*[st.integers(0, 255)] * 3))
def test_brightness_raises_the_value_of_the_standard_librarys_hsv(rgb: tuple[int, int, int]) -> None:
    pixel = torch.tensor(rgb)[None, :, None, None].expand(1, 3, 65, 65) / 255
    ours = corrupt(pixel, "brightness", 3, seeded())[0, :, 0, 0].tolist()
    hue, saturation, value = colorsys.rgb_to_hsv(*(level / 255 for level in rgb))
    assert ours == pytest.approx(colorsys.hsv_to_rgb(hue, saturation, min(1, value + 0.3)), abs=1e-5)


def test_contrast_is_the_formula() -> None:
    batch = pictures(2, 3, 70).double().numpy()
    mean = batch.mean((2, 3), keepdims=True)
    ours = corrupt(torch.from_numpy(batch), "contrast", 2, seeded()).numpy()
    np.testing.assert_allclose(ours, (batch - mean) * 0.3 + mean, atol=1e-6)


@pytest.mark.parametrize(("size", "share"), [((96, 70), 0.4), ((28, 28), 0.85)])
def test_pixelate_is_pillows_box(size: tuple[int, int], share: float) -> None:
    batch = pictures(2, 3, *size)
    ours = corrupt(batch, "pixelate", 3, seeded())
    small = to_pillow(batch[1]).resize((int(size[1] * share), int(size[0] * share)), Image.Resampling.BOX)
    pillow = from_pillow(small.resize((size[1], size[0]), Image.Resampling.BOX))
    assert float((ours[1] - pillow).abs().max()) < 1.5 / 255


@given(st.integers(1, 60), st.integers(1, 60))
def test_box_weights_are_means(source: int, result: int) -> None:
    weights = box_weights(source, result)
    torch.testing.assert_close(weights.sum(1), torch.ones(result, dtype=torch.float64))
    image = Image.fromarray(np.linspace(0, 255, source).astype(np.float32)[None])
    pillow = np.asarray(image.resize((result, 1), Image.Resampling.BOX))[0]
    ours = weights.numpy() @ np.linspace(0, 255, source)
    # Where a pixel's middle lies on the edge of a box, rounding decides for Pillow which box has it.
    away = np.abs((2 * np.arange(source) + 1) * result - (2 * np.arange(result)[:, None] + 1) * source)
    clear = ~(away == max(source, result)).any(1)
    np.testing.assert_allclose(ours[clear], pillow[clear], atol=1e-3)


@pytest.mark.parametrize(("size", "quality"), [(96, 15), (28, 58)])
@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_is_pillows(size: int, quality: int, channels: int) -> None:
    batch = pictures(2, channels, size)
    ours = corrupt(batch, "jpeg_compression", 3, seeded())
    body = io.BytesIO()
    to_pillow(batch[1]).save(body, "JPEG", quality=quality)
    assert torch.equal(ours[1], from_pillow(Image.open(body)))


@given(st.integers(0, 10**6), st.floats(0.1, 8))
def test_elastic_moves_three_corners_by_so_much_at_most(seed: int, farthest: float) -> None:
    maps = affine_maps(5, 60, 90, farthest, seeded(seed))
    corners = torch.tensor([[65.0, 50, 1], [65, 10, 1], [25, 10, 1]], dtype=torch.float64)
    moved = torch.einsum("nij,cj->nci", maps, corners)
    assert float((moved - corners).abs().max()) <= farthest + 1e-9
    assert float((moved - corners).abs().max()) > farthest * 0.3


def test_elastic_bends_a_ramp_by_a_smooth_field() -> None:
    """Seen on a ramp, whose levels say where each pixel came from."""
    ramp = torch.linspace(0, 1, 224).expand(2, 1, 224, 224).contiguous()
    bent = corrupt(ramp, "elastic", 5, seeded())[0, 0, 40:-40, 40:-40].double().numpy()
    places = bent * 223
    rows, columns = np.mgrid[0 : bent.shape[0], 0 : bent.shape[1]]
    plane = np.stack([rows.ravel(), columns.ravel(), np.ones(bent.size)], 1)
    shift = places.ravel() - plane @ np.linalg.lstsq(plane, places.ravel(), rcond=None)[0]
    noise = np.random.default_rng(0).uniform(-1, 1, (400, 400))
    expected = (gaussian_filter(noise, 2.44, mode="reflect") * 0.12 * 244).std()
    assert shift.std() == pytest.approx(expected, rel=0.2)


@pytest.mark.gpu
@pytest.mark.parametrize("name", list(CORRUPTIONS))
@pytest.mark.parametrize("size", [28, 96])
def test_the_same_on_the_gpu(name: str, size: int) -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    batch = pictures(8, 3, size)
    here, there = corrupt(batch, name, 3, seeded()), corrupt(batch.cuda(), name, 3, seeded())
    assert there.is_cuda
    torch.testing.assert_close(there.cpu(), here, atol=2e-3, rtol=0)
