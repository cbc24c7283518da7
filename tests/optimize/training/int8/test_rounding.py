"""Rounding against a reference in float64, and its gradients."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from optimize.passes.weight_rounding import Pairs
from optimize.training.int8.rounding import round_activations, round_weights


def values(shape: tuple[int, ...], *, low: float, high: float, seed: int = 0) -> Tensor:
    """Evenly spread, both ends among them."""
    even = torch.linspace(low, high, int(np.prod(shape)))
    return even[torch.randperm(len(even), generator=torch.Generator().manual_seed(seed))].reshape(shape)


@pytest.mark.parametrize(("low", "high"), [(-1.5, 3.0), (0.0, 6.0), (0.5, 2.0), (-4.0, -1.0)])
def test_activations_become_whole_steps_of_a_range_that_holds_zero(low: float, high: float) -> None:
    x = values((2, 3, 5, 7), low=low, high=high)
    step = (max(high, 0) - min(low, 0)) / 255
    got = round_activations(x).double().numpy()
    np.testing.assert_allclose(got / step, np.round(got / step), atol=1e-3)
    assert np.abs(got - x.double().numpy()).max() <= step * 1.01  # half a step, and half of the zero point's rounding
    assert len(np.unique(got)) <= 256


def test_what_is_shared_by_few_values_is_cut_off_and_gets_no_gradient() -> None:
    x = values((1, 4, 100, 100), low=-1.0, high=1.0)
    x[0, 0, 0, :3] = 1000.0
    x.requires_grad_()
    y = round_activations(x)
    y.sum().backward()  # type: ignore[no-untyped-call]
    assert float(y.detach().max()) < 1.1
    assert x.grad is not None
    assert x.grad[0, 0, 0, :3].tolist() == [0, 0, 0]
    assert float(x.grad.mean()) > 0.99


@pytest.mark.parametrize("blank", [0.0, 3.0, -3.0])
def test_a_tensor_of_one_value_keeps_it(blank: float) -> None:
    x = torch.full((2, 4), blank)
    torch.testing.assert_close(round_activations(x), x)


def test_the_memory_layout_changes_nothing() -> None:
    x = values((2, 3, 8, 8), low=-1.0, high=2.0)
    torch.testing.assert_close(round_activations(x.contiguous(memory_format=torch.channels_last)), round_activations(x))


@pytest.mark.parametrize("pairs", ["free", "adjacent", "any"])
def test_weights_have_a_scale_for_each_output_and_no_pair_beyond_its_limit(pairs: Pairs) -> None:
    weights = torch.randn(6, 5, 3, 3, generator=torch.Generator().manual_seed(1)) * torch.logspace(-3, 3, 6).view(
        6, 1, 1, 1
    )
    rows = weights.double().flatten(1).numpy()
    got = round_weights(weights, pairs).double().flatten(1).numpy()
    for row, rounded in zip(rows, got, strict=True):
        scale = reference_scale(row, pairs)
        codes = rounded / scale
        np.testing.assert_allclose(codes, np.round(codes), atol=1e-2)
        assert np.abs(codes).max() <= 127.01
        assert np.abs(rounded - row).max() <= scale * 0.501


def reference_scale(row: NDArray[np.float64], pairs: Pairs) -> float:
    """All pairs tried, one by one."""
    met = {"free": [], "adjacent": [(i, i + 1) for i in range(0, len(row) - 1, 2)]}.get(
        pairs, [(i, j) for i in range(len(row)) for j in range(i)]
    )
    sums = [abs(row[i] + row[j]) for i, j in met if row[i] * row[j] > 0]
    return max(float(np.abs(row).max()) / 127, max(sums, default=0.0) / 128)


def test_weights_of_nothing_stay_nothing() -> None:
    assert not round_weights(torch.zeros(3, 4), "adjacent").any()
