"""Which layers give most time back: ratios chosen from measured times, not from multiply-adds.

Each group of channels is narrowed by itself to a few widths, and the network is timed: a curve of time over
channels kept. A group's channels go from the one that matters least up; what that costs and what
time it gives back is a path, and of each path the lower convex hull is kept, so that a width which is no faster
than a wider one is passed over. All hulls' edges in the order of what is lost for the time are the line in which
channels go (the knapsack of Shen et al., "HALP: Hardware-Aware Latency Pruning", 2021, relaxed).

Times of groups do not add up, so the curves say in which order channels go, and no more: how many go, for a wanted
time, is found by timing the whole narrowed network, a few times.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from optimize.errors import RecipeError
from optimize.pruning.cost import Cost, Widths
from optimize.pruning.groups import ChannelGroup
from optimize.pruning.selection import Ranking, rounded, select

# Share of the unpruned network's time that a network of such widths takes; the same answer for the same question.
Clock = Callable[[Widths], float]
# (channels kept, share of the time), the widest first.
Curve = Sequence[tuple[int, float]]

KEPT = (0.75, 0.5, 0.25)
# Time of a group's channels that no measurement shows: they go last, but they can go.
UNSEEN = 1e-6
# As near to the wanted time as is near enough, and networks that are timed at the most.
NEAR = 0.02
TRIES = 6


def curves(groups: Sequence[ChannelGroup], cost: Cost, clock: Clock, round_to: int) -> list[Curve]:
    """Time each group at several widths, the others whole; ``cost`` is of these groups."""
    whole = [group.channels for group in groups]
    base = clock(cost.widths(whole))
    found: list[Curve] = []
    for place, group in enumerate(groups):
        tried = dict.fromkeys(rounded(round(share * group.channels), group.channels, round_to) for share in KEPT)
        curve = [(group.channels, base)]
        for count in sorted(tried, reverse=True):
            if count < group.channels:
                time = clock(cost.widths([*whole[:place], count, *whole[place + 1 :]]))
                curve.append((count, min(time, curve[-1][1])))
        found.append(curve)
    return found


def order_by_time(scores: Sequence[Tensor], found: Sequence[Curve], round_to: int) -> Tensor:
    """Whose channel goes first, second and so on: int64, places of groups; see ``Ranking.owners``.

    Args:
        scores: (channels,) of each group.
        found: its curve.
    """
    edges = []
    for place, (values, curve) in enumerate(zip(scores, found, strict=True)):
        path = _path(values, curve, round_to)
        edges += [(slope, place, channels) for slope, channels in _hull(path)]
    edges.sort(key=lambda edge: edge[0])
    owners = [torch.full((channels,), place, dtype=torch.int64) for _, place, channels in edges]
    return torch.cat(owners) if owners else torch.zeros(0, dtype=torch.int64)


def _path(scores: Tensor, curve: Curve, round_to: int) -> list[tuple[int, float, float]]:
    """(channels kept, time given back, what is lost) from all of them down."""
    size = len(scores)
    lost = torch.cat((torch.zeros(1, dtype=torch.float64), scores.double().sort().values.cumsum(0)))
    counts = sorted({rounded(count, size, round_to) for count in range(size + 1)}, reverse=True)
    return [
        (count, curve[0][1] - time_at(curve, count) + UNSEEN * (size - count) / size, float(lost[size - count]))
        for count in counts
    ]


def time_at(curve: Curve, count: int) -> float:
    """Between measured widths on a straight line, below the narrowest on that of the last two."""
    if len(curve) == 1:
        return curve[0][1]
    place = next((place for place in range(1, len(curve)) if curve[place][0] <= count), len(curve) - 1)
    (wide, slow), (narrow, quick) = curve[place - 1], curve[place]
    return slow - (slow - quick) * (wide - count) / (wide - narrow)


def _hull(path: Sequence[tuple[int, float, float]]) -> list[tuple[float, int]]:
    """Edges of the lower convex hull of loss over time: (its slope, how many channels go with it), rising slopes."""
    corners = [path[0]]
    for point in path[1:]:
        while len(corners) > 1 and _slope(corners[-2], corners[-1]) >= _slope(corners[-1], point):
            corners.pop()
        corners.append(point)
    return [(_slope(one, other), one[0] - other[0]) for one, other in pairwise(corners)]


def _slope(one: tuple[int, float, float], other: tuple[int, float, float]) -> float:
    return (other[2] - one[2]) / (other[1] - one[1])


def select_in_time(ranking: Ranking, cost: Cost, clock: Clock, wanted: float) -> list[int]:
    """How many channels each group keeps so that the network nearly takes the ``wanted`` share of the time.

    Raises:
        RecipeError: it can't be as fast as that.
    """
    whole = ranking.counts(0)
    slowest = (1.0, clock(cost.widths(whole)), whole)
    least = ranking.counts(ranking.total)
    fastest = (cost.after(least) / cost.total, clock(cost.widths(least)), least)
    if fastest[1] > wanted + NEAR:
        raise RecipeError(
            f"latency = {wanted:.3g} of this network can't be reached: with round_to = {ranking.round_to} its layers "
            f"can be cut to {fastest[1]:.3g} of the time at the least; "
            "ask for more, take a smaller round_to, or keep fewer layers"
        )
    tried = [slowest, fastest]
    for _ in range(TRIES):
        share = _between(fastest, slowest, wanted)
        counts = select(ranking, cost, max(share * cost.total, cost.after(least)))
        if any(counts == one[2] for one in tried):
            break
        found = (cost.after(counts) / cost.total, clock(cost.widths(counts)), counts)
        tried.append(found)
        if abs(found[1] - wanted) <= NEAR:
            break
        fastest, slowest = (found, slowest) if found[1] < wanted else (fastest, found)
    return min(tried, key=lambda one: abs(one[1] - wanted))[2]


def _between(fastest: tuple[float, float, list[int]], slowest: tuple[float, float, list[int]], wanted: float) -> float:
    """The share of multiply-adds at which a straight line between two networks takes the wanted time."""
    spread = slowest[1] - fastest[1]
    place = (wanted - fastest[1]) / spread if spread > 0 else 1.0
    return fastest[0] + min(max(place, 0.0), 1.0) * (slowest[0] - fastest[0])
