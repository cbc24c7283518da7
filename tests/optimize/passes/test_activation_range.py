"""Ranges on data whose answer is known."""

from typing import get_args

import pytest
import torch

from optimize.passes.activation_range import METHODS, RangeMethod, activation_range


def test_the_table_and_the_type_name_the_same_methods() -> None:
    assert set(METHODS) == set(get_args(RangeMethod))


@pytest.mark.parametrize("method", METHODS)
def test_every_range_holds_zero_and_is_not_empty(method: RangeMethod) -> None:
    for values in ([torch.full((2, 3), 4.0)], [torch.full((2, 3), -4.0)], [torch.zeros(1, 3), torch.zeros(1, 3)]):
        low, high = activation_range(values, method, 0.999)
        assert low <= 0 <= high
        assert low < high


def test_min_max_and_average_differ_by_what_one_picture_does() -> None:
    values = torch.tensor([[-1.0, 1.0], [-3.0, 2.0]]).split(1)
    assert activation_range(values, "min_max", 0.9) == (-3, 2)
    assert activation_range(values, "average", 0.9) == (-2, 1.5)


def test_percentile_drops_its_share_on_each_side() -> None:
    values = torch.arange(-500, 501).float().view(7, 143).split(3)
    low, high = activation_range(values, "percentile", 0.99)
    assert (low, high) == (-491, 491)


def test_least_squares_weighs_an_outlier_against_the_rest() -> None:
    bulk = torch.randn(1, 100_000, generator=torch.Generator().manual_seed(0))
    low, high = activation_range([bulk, torch.full((1, 1), 40.0)], "least_squares", 0.9)
    # Smallest (40 - h)^2 + n * step^2 / 12 with step = h * (1 + |low| / 40) / 255, solved for h.
    widening = 1 - float(bulk.min()) / 40
    assert high == pytest.approx(40 / (1 + 100_000 * (widening / 255) ** 2 / 12), rel=0.03)
    assert low == pytest.approx(float(bulk.min()) * high / 40)


@pytest.mark.parametrize("method", METHODS)
def test_how_values_are_parted_changes_nothing(method: RangeMethod) -> None:
    values = torch.randn(12, 5, 4, 4, generator=torch.Generator().manual_seed(3)) ** 3
    whole = activation_range([values], method, 0.97)
    assert activation_range(values.split(5), method, 0.97) == whole
    assert activation_range(values.split(1), method, 0.97) == whole


def test_entropy_cuts_off_a_thin_tail_and_keeps_a_flat_distribution() -> None:
    """What it is known for, and why it harms nets whose few large values matter."""
    generator = torch.Generator().manual_seed(0)
    flat = torch.rand(1, 100_000, generator=generator)
    assert activation_range([flat], "entropy", 0.9)[1] > 0.98
    tailed = torch.cat([flat[0] * 2, torch.linspace(2, 10, 40)])[None]
    assert activation_range([tailed], "entropy", 0.9)[1] < 5
    assert activation_range([tailed], "min_max", 0.9)[1] == 10
