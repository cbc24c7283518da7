"""Ratios from measured times, on clocks whose answers are known."""

from collections.abc import Mapping
from itertools import product

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from optimize.errors import RecipeError
from optimize.pruning.cost import Widths, cost_of
from optimize.pruning.groups import channel_groups
from optimize.pruning.latency import curves, order_by_time, time_at
from optimize.pruning.options import PruneOptions
from optimize.pruning.prune import Pruned, prune
from optimize.training.network.network import Network
from tests.optimize.pruning.nets import pictures, zoo_network


@pytest.fixture(scope="module")
def network() -> Network:
    return zoo_network("grey28")


class PriceList:
    """A share of the time for each named layer, by its outputs; and a rest that no pruning saves."""

    def __init__(self, prices: Mapping[str, float], rest: float = 0.1) -> None:
        self.prices, self.rest = prices, rest
        self.whole = {name: width for name, (_, width) in widths_of(zoo_network("grey28")).items()}

    def __call__(self, widths: Widths) -> float:
        spent = [price * widths[name][1] / self.whole[name] for name, price in self.prices.items()]
        return self.rest + sum(spent)


def widths_of(network: Network) -> Widths:
    module = network.module.requires_grad_(True)
    groups = channel_groups(module, pictures(network, 1))
    return cost_of(module, pictures(network, 1), groups).widths([group.channels for group in groups])


def share_left(pruned: Pruned, name: str) -> float:
    found = next(layer for layer in pruned.layers if layer.name == name)
    return found.after[1] / found.before[1]


CHEAP, DEAR = "blocks.0.conv1", "blocks.2.conv1"


def test_layers_that_take_the_time_lose_the_channels(network: Network) -> None:
    dear_late = PriceList({CHEAP: 0.02, DEAR: 0.88})
    dear_early = PriceList({CHEAP: 0.88, DEAR: 0.02})
    options = PruneOptions(macs=0.8, scope="latency")
    late, early = (prune(network, options, clock=clock) for clock in (dear_late, dear_early))
    assert share_left(late, DEAR) < share_left(early, DEAR)
    assert share_left(late, CHEAP) > share_left(early, CHEAP)


@pytest.mark.parametrize("wanted", [0.8, 0.6, 0.5])
def test_a_share_of_the_time_is_met(network: Network, wanted: float) -> None:
    prices = {"stem.0": 0.1, CHEAP: 0.2, "blocks.1.conv1": 0.3, DEAR: 0.3}
    clock = PriceList(prices)
    pruned = prune(network, PruneOptions(latency=wanted, round_to=2), clock=clock)
    taken = clock({layer.name: layer.after for layer in pruned.layers})
    assert taken == pytest.approx(wanted, abs=0.03)
    assert pruned.network.architecture.name == "pruned:grey28"


def test_what_no_pruning_can_reach_is_refused_with_the_least(network: Network) -> None:
    with pytest.raises(RecipeError, match=r"latency = 0.3 .* cut to 0\.\d+ of the time at the least"):
        prune(network, PruneOptions(latency=0.3), clock=PriceList({DEAR: 0.5}, rest=0.5))


def test_without_a_clock_time_is_refused_in_words(network: Network) -> None:
    for options in (PruneOptions(latency=0.5), PruneOptions(macs=0.5, scope="latency")):
        with pytest.raises(RecipeError, match="give a clock, or say macs"):
            prune(network, options)


def test_one_share_is_said() -> None:
    assert (PruneOptions().macs, PruneOptions().scope) == (0.5, "global")
    timed = PruneOptions(latency=0.4)
    assert (timed.macs, timed.scope) == (None, "latency")
    assert PruneOptions(latency=0.4, scope="uniform").scope == "uniform"
    assert PruneOptions.model_validate(timed.model_dump()).latency == 0.4
    with pytest.raises(ValueError, match="one of them"):
        PruneOptions(latency=0.4, macs=0.5)


def test_curves_ask_for_each_group_alone_and_never_rise(network: Network) -> None:
    module = network.module.requires_grad_(True)
    groups = channel_groups(module, pictures(network, 1))
    cost = cost_of(module, pictures(network, 1), groups)
    whole, asked = cost.widths([group.channels for group in groups]), []

    def clock(widths: Widths) -> float:
        asked.append({name for name in widths if widths[name] != whole[name]})
        return 1.0 + 0.1 * len(asked)  # slower and slower

    found = curves(groups, cost, clock, 8)
    touched = [{part.name for part in group.parts} for group in groups]
    assert asked[0] == set()
    assert all(any(one <= mine for mine in touched) for one in asked)
    assert all(time <= curve[0][1] for curve in found for _, time in curve)


def test_between_measured_widths_time_is_on_a_line() -> None:
    curve = [(64, 1.0), (48, 0.9), (32, 0.7)]
    assert [time_at(curve, count) for count in (64, 56, 48, 40, 32, 16)] == pytest.approx(
        [1.0, 0.95, 0.9, 0.8, 0.7, 0.5]
    )


@given(st.integers(0, 10_000), st.lists(st.floats(0.05, 0.3), min_size=2, max_size=2))
def test_on_the_line_no_choice_of_the_same_loss_is_faster(seed: int, savings: list[float]) -> None:
    """Against every choice of widths of two groups: each corner of the line is best for what it loses."""
    size, step = 8, 2
    scores = list(torch.rand(2, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64))
    found = [[(size, 1.0), (step, 1.0 - saving)] for saving in savings]
    lost = [torch.cat((torch.zeros(1), values.sort().values.cumsum(0))).tolist() for values in scores]

    def both(counts: tuple[int, int]) -> tuple[float, float]:
        """What is lost, and the time."""
        pairs = list(enumerate(counts))
        return sum(lost[at][size - count] for at, count in pairs), sum(time_at(found[at], count) for at, count in pairs)

    counts = [size, size]
    line = order_by_time(scores, found, step).tolist()
    corners = [tuple(counts)]
    for owner, following in zip(line, [*line[1:], -1], strict=True):
        counts[owner] -= 1
        if owner != following:
            corners.append(tuple(counts))
    every = [both(one) for one in product(range(step, size + 1, step), repeat=2)]
    for corner in corners:
        loss, time = both(corner)
        assert not any(other_loss < loss - 1e-9 and other_time < time - 1e-5 for other_loss, other_time in every)


def test_a_width_that_is_no_faster_than_a_wider_one_is_passed_over() -> None:
    scores = [torch.ones(8, dtype=torch.float64), torch.ones(8, dtype=torch.float64)]
    steps = [(8, 1.0), (6, 1.0), (4, 0.6)]
    order = order_by_time(scores, [steps, [(8, 1.0), (4, 0.9)]], 2).tolist()
    assert order[:4] == [0, 0, 0, 0]
