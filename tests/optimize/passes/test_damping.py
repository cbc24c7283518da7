"""Damping: rounding that relies on what holds for other pictures too."""

import pytest
import torch
from torch import Tensor

from optimize.passes.damping import SHARES, choose_share, damped
from optimize.passes.weight_rounding import output_error, round_to_base, round_weights

INPUTS, OUTPUTS = 48, 16


def _covariances(rows: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Of ``rows`` pictures, of as many others, and the true one: inputs that go together in fours."""
    generator = torch.Generator().manual_seed(seed)
    fours = torch.kron(torch.eye(INPUTS // 4, dtype=torch.float64), torch.ones(4, 4, dtype=torch.float64))
    mixing = torch.eye(INPUTS, dtype=torch.float64) + 2 * fours
    drawn = [torch.randn(rows, INPUTS, generator=generator, dtype=torch.float64) @ mixing for _ in range(2)]
    known, held = ((one.T @ one / rows)[None] for one in drawn)
    return known, held, (mixing.T @ mixing)[None]


def _layer(seed: int = 1) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    weights = torch.randn(1, OUTPUTS, INPUTS, generator=generator, dtype=torch.float64)
    return weights, torch.full((1, OUTPUTS), 1e-12, dtype=torch.float64)


def _true_error(share: float, known: Tensor, true: Tensor) -> float:
    weights, floors = _layer()
    codes, scales = round_to_base(weights, damped(known, share), floors, "free")
    return float(output_error(weights - codes * scales[..., None], true).sum())


@pytest.mark.parametrize("rows", [24, 60])
def test_few_pictures_are_trusted_less_and_the_outputs_err_less_by_it(rows: int) -> None:
    known, held, true = _covariances(rows)
    share = choose_share(_layer()[0], known, held, _layer()[1], "free")
    assert share > SHARES[0]
    assert _true_error(share, known, true) < 0.95 * _true_error(SHARES[0], known, true)


def test_many_pictures_are_trusted() -> None:
    known, held, true = _covariances(20_000)
    share = choose_share(_layer()[0], known, held, _layer()[1], "free")
    assert share < SHARES[-1]
    assert _true_error(share, known, true) <= 1.02 * min(_true_error(one, known, true) for one in SHARES)


def test_damping_adds_to_the_diagonal_alone_and_silent_inputs_can_be_rounded() -> None:
    known = _covariances(100)[0]
    known[:, 3] = known[:, :, 3] = 0
    added = damped(known, 0.5) - known
    expected = 0.5 * known[0].trace() / INPUTS
    torch.testing.assert_close(added[0], expected * torch.eye(INPUTS, dtype=torch.float64), atol=1e-9, rtol=0)
    weights, floors = _layer()
    silent = damped(torch.zeros_like(known), 0.1)
    for covariance in (damped(known, 0.01), silent):
        codes, scales = round_weights(weights, covariance, floors, "free")
        assert (weights - codes * scales[..., None]).abs().max() < 2 * scales.max()
