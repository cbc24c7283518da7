"""Rounding: nearer outputs than nearest weights, and pairs that never overflow."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from optimize.passes import weight_rounding
from optimize.passes.weight_rounding import LIMIT, PAIR_LIMIT, Pairs, output_error, round_weights


def _problem(seed: int, outputs: int, inputs: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(inputs, inputs, generator=generator, dtype=torch.float64)
    seen = torch.randn(400, inputs, generator=generator, dtype=torch.float64) @ mixing
    weights = torch.randn(1, outputs, inputs, generator=generator, dtype=torch.float64)
    return weights, (seen.T @ seen / 400)[None]


def test_outputs_err_less_than_with_rounding_to_nearest() -> None:
    weights, covariance = _problem(0, 24, 32)
    floors = torch.full((1, 24), 1e-12, dtype=torch.float64)
    codes, scales = round_weights(weights, covariance, floors, "free")
    nearest_scale = weights.abs().amax(2, keepdim=True) / LIMIT
    nearest = torch.round(weights / nearest_scale) * nearest_scale
    ours = output_error(weights - codes * scales[..., None], covariance).sum()
    assert ours < 0.6 * output_error(weights - nearest, covariance).sum()


def test_two_inputs_are_rounded_about_as_well_as_by_trying_everything() -> None:
    weights, covariance = _problem(3, 6, 2)
    codes, scales = round_weights(weights, covariance, torch.full((1, 6), 1e-12, dtype=torch.float64), "free")
    ours = output_error(weights - codes * scales[..., None], covariance)
    around = torch.tensor(list(itertools.product((-1.0, 0.0, 1.0), repeat=2)), dtype=torch.float64)
    tried = [output_error(weights - (codes + step) * scales[..., None], covariance) for step in around]
    assert (ours <= 4 * torch.stack(tried).amin(0) + 1e-12).all()


@given(seed=st.integers(0, 10_000), inputs=st.integers(1, 9))
@settings(max_examples=25, deadline=None)
def test_adjacent_pairs_stay_within_the_limit(seed: int, inputs: int) -> None:
    weights, covariance = _problem(seed, 5, inputs)
    codes, scales = round_weights(weights.abs(), covariance, torch.full((1, 5), 1e-12, dtype=torch.float64), "adjacent")
    assert torch.equal(codes, codes.round())
    assert codes.abs().max() <= LIMIT
    assert torch.equal(scales, scales.float().double())
    even = codes[..., : inputs // 2 * 2]
    assert not even.numel() or (even[..., 0::2] + even[..., 1::2]).abs().max() <= PAIR_LIMIT


@given(seed=st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_any_two_of_an_output_stay_within_the_limit(seed: int) -> None:
    weights, covariance = _problem(seed, 4, 7)
    codes, _ = round_weights(weights, covariance, torch.full((1, 4), 1e-12, dtype=torch.float64), "any")
    for first, second in itertools.combinations(range(7), 2):
        assert (codes[..., first] + codes[..., second]).abs().max() <= PAIR_LIMIT


@pytest.mark.parametrize("pairs", ["free", "adjacent", "any"])
def test_blocks_change_the_time_alone(pairs: Pairs, monkeypatch: pytest.MonkeyPatch) -> None:
    weights, covariance = _problem(2, 6, 37)
    floors = torch.full((1, 6), 1e-12, dtype=torch.float64)
    found = []
    for block in (1, 8, 64):
        monkeypatch.setattr(weight_rounding, "BLOCK", block)
        found.append(round_weights(weights, covariance, floors, pairs))
    for codes, scales in found[1:]:
        assert torch.equal(codes, found[0][0])
        assert torch.equal(scales, found[0][1])


def test_scales_respect_their_floor() -> None:
    weights, covariance = _problem(1, 3, 4)
    _, scales = round_weights(weights * 1e-9, covariance, torch.full((1, 3), 0.25, dtype=torch.float64), "free")
    assert scales.min() == pytest.approx(0.25)
