"""Mixup and CutMix: shares as drawn, targets as mixed as pictures."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta, chisquare

from optimize.training.augmentations.cutmix import CutMix
from optimize.training.augmentations.mixup import Mixup, draw_shares
from tests.optimize.training.augmentations.drawing import draw, pictures


def counted(count: int, size: int) -> torch.Tensor:
    """Pictures of one level each, all different: which of them a pixel comes from can be told."""
    levels = (torch.arange(count) + 1) / (count + 1)
    return levels[:, None, None, None].expand(count, 3, size, size).contiguous()


@given(st.integers(2, 30), st.integers(1, 25), st.floats(0.05, 5), st.integers(0, 10**6))
def test_cutmix_weighs_targets_by_the_area_really_pasted(count: int, size: int, alpha: float, seed: int) -> None:
    batch, targets = counted(count, size), torch.eye(count)
    mixed, rows = CutMix(alpha=alpha)(batch, targets, draw(size, seed=seed))
    for number in range(count):
        area = [float((mixed[number, 0] == batch[other, 0, 0, 0]).float().mean()) for other in range(count)]
        assert rows[number].tolist() == pytest.approx(area, abs=1e-6)
    torch.testing.assert_close(rows.sum(1), torch.ones(count))


def test_cutmix_pastes_one_box_in_its_own_place() -> None:
    batch = pictures(40)
    mixed, rows = CutMix()(batch, torch.eye(40), draw())
    for number, row in enumerate(rows):
        foreign = (mixed[number] != batch[number]).any(0)
        if not foreign.any():
            continue
        other = int(torch.where(torch.arange(40) == number, -1.0, row).argmax())
        high, wide = foreign.any(1).nonzero(), foreign.any(0).nonzero()
        box = (slice(None), slice(int(high[0]), int(high[-1]) + 1), slice(int(wide[0]), int(wide[-1]) + 1))
        assert torch.equal(mixed[number][box], batch[other][box])


@given(st.integers(1, 30), st.floats(0.05, 5), st.integers(0, 10**6))
def test_mixup_blends_pictures_as_it_blends_targets(count: int, alpha: float, seed: int) -> None:
    batch, targets = counted(count, 2), torch.eye(count)
    mixed, rows = Mixup(alpha=alpha)(batch, targets, draw(2, seed=seed))
    torch.testing.assert_close(rows @ batch[:, 0, 0, 0], mixed[:, 0, 0, 0], atol=1e-5, rtol=0)
    torch.testing.assert_close(rows.sum(1), torch.ones(count))
    assert bool(((rows > 0).sum(1) <= 2).all())


@pytest.mark.parametrize("alpha", [0.1, 1.0, 4.0])
def test_shares_are_beta(alpha: float) -> None:
    shares = draw_shares(3000, alpha, 1.0, draw())
    edges = np.array([0, 0.05, 0.2, 0.4, 0.6, 0.8, 0.95, 1])
    counts, _ = np.histogram(shares.numpy(), edges)
    assert chisquare(counts, 3000 * np.diff(beta(alpha, alpha).cdf(edges))).pvalue > 0.01


def test_mixes_as_often_as_asked() -> None:
    shares = draw_shares(3000, 1.0, 0.4, draw())
    assert float((shares < 1).float().mean()) == pytest.approx(0.4, abs=0.03)


def test_a_picture_without_a_label_weakens_the_others_target() -> None:
    targets = torch.eye(8)
    targets[::2] = 0
    _, rows = Mixup(alpha=5.0)(pictures(8), targets, draw())
    assert bool((rows.sum(1) <= 1 + 1e-6).all())
    assert 0 < float(rows.sum()) < 8


def test_targets_of_soft_rows_stay_rows() -> None:
    soft = torch.rand(16, 5, generator=draw().generator).softmax(1)
    for mix in (Mixup(), CutMix()):
        torch.testing.assert_close(mix(pictures(16), soft, draw())[1].sum(1), torch.ones(16))
