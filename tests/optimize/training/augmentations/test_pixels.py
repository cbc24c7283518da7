"""Blur, noise and erasing against SciPy and against what was asked for."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from optimize.training.augmentations.blur import Blur
from optimize.training.augmentations.erasing import Erasing
from optimize.training.augmentations.noise import Noise
from tests.optimize.training.augmentations.drawing import draw, pictures


@pytest.mark.parametrize("sigma", [0.1, 0.7, 2.0, 5.0])
@pytest.mark.parametrize("size", [(24, 24), (31, 20)])
def test_blur_is_scipys(sigma: float, size: tuple[int, int]) -> None:
    batch = pictures(2, 3, *size)
    blurred = Blur(sigma=(sigma, sigma), probability=1.0)(batch, draw(*size))
    expected = gaussian_filter(batch.double().numpy(), sigma, axes=(2, 3), mode="reflect", truncate=8)
    assert np.abs(blurred.numpy() - expected).max() < 1e-4


@given(st.integers(0, 10**6), st.floats(0.05, 3))
def test_blur_keeps_the_mean_and_never_sharpens(seed: int, sigma: float) -> None:
    batch = pictures(3, 1, 20, seed=seed)
    blurred = Blur(sigma=(sigma, sigma), probability=1.0)(batch, draw(20))
    torch.testing.assert_close(blurred.mean((2, 3)), batch.mean((2, 3)), atol=1e-4, rtol=0)
    assert bool((blurred.std((2, 3)) <= batch.std((2, 3)) + 1e-5).all())


def test_blur_as_often_as_asked() -> None:
    batch = pictures(600, 1, 8)
    same = (Blur(probability=0.3, sigma=(1.0, 2.0))(batch, draw(8)) == batch).all(3).all(2).all(1)
    assert float(same.float().mean()) == pytest.approx(0.7, abs=0.06)


def test_noise_is_as_strong_and_as_frequent_as_asked() -> None:
    grey = torch.full((500, 1, 20, 20), 0.5)
    changed = Noise(deviation=0.1, probability=0.6)(grey, draw(20))
    deviations = (changed - 0.5).std((1, 2, 3))
    noisy = deviations[deviations > 0]
    assert len(noisy) / 500 == pytest.approx(0.6, abs=0.07)
    assert float(noisy.max()) == pytest.approx(0.1, abs=0.015)
    assert float(noisy.mean()) == pytest.approx(0.05, abs=0.008)
    assert float((changed - 0.5).mean()) == pytest.approx(0, abs=0.001)


@pytest.mark.parametrize("fill", ["noise", "colour", "grey", "black"])
def test_what_is_erased_is_one_box_of_the_area_asked_for(fill: str) -> None:
    batch = torch.full((300, 3, 32, 32), 0.25)
    erasing = Erasing.model_validate({"fill": fill, "area": [0.1, 0.4], "probability": 1.0})
    gone = (erasing(batch, draw(32)) != 0.25).any(1)
    rows, columns = gone.any(2).sum(1), gone.any(1).sum(1)
    assert torch.equal(gone.sum((1, 2)), rows * columns)
    area = (rows * columns).float() / 32**2
    assert float(area.min()) > 0.08
    assert float(area.max()) < 0.43
    assert float(area.mean()) == pytest.approx(0.25, abs=0.02)
    ratio = columns / rows
    assert 0.25 < float(ratio.min()) < 0.5
    assert 2 < float(ratio.max()) < 4


def test_the_fills() -> None:
    batch = torch.full((1, 3, 32, 32), 0.25)
    whole = {"area": [0.5, 0.5], "ratio": [1.0, 1.0], "probability": 1.0}
    box = {
        fill: (changed := Erasing.model_validate({"fill": fill, **whole})(batch, draw(32)))[changed != 0.25]
        for fill in ("noise", "colour", "grey", "black")
    }
    assert box["noise"].unique().numel() > 1000
    assert float(box["noise"].mean()) == pytest.approx(0.5, abs=0.03)
    assert box["colour"].unique().numel() == 3
    assert box["grey"].unique().tolist() == [0.5]
    assert box["black"].unique().tolist() == [0.0]


def test_erases_as_often_as_asked() -> None:
    batch = torch.full((800, 1, 8, 8), 0.25)
    changed = (Erasing(fill="black")(batch, draw(8)) != 0.25).any(3).any(2).any(1)
    assert float(changed.float().mean()) == pytest.approx(0.25, abs=0.05)
