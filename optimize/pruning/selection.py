"""How many channels each group keeps, and which.

All channels stand in one line, in the order in which they go: by their scores (``global``), or by
their place within their own group, so that all groups shrink alike (``uniform``), or by what they matter for the
time that they take (``latency.py``). The more go,
the fewer multiply-adds are left, however layers are rounded; so bisection finds how many must.
From one channel to the next a single group changes, by one rounding step. Where that step is too
long to come near, the group is held before it, and the others go on.
"""

import bisect
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from optimize.errors import RecipeError
from optimize.pruning.cost import Cost
from optimize.pruning.groups import ChannelGroup
from optimize.pruning.options import PruneOptions

# As near to the wanted share of multiply-adds as is near enough.
NEAR = 0.03


@dataclass(frozen=True, slots=True)
class Ranking:
    """Channels in the order in which they go.

    Attributes:
        groups: those that may lose channels.
        scores: (channels,) for each group.
        owners: int64 (total,): whose channel goes first, second and so on.
        round_to: see ``PruneOptions``.
    """

    groups: Sequence[ChannelGroup]
    scores: Sequence[Tensor]
    owners: Tensor
    round_to: int

    @property
    def total(self) -> int:
        """Of how many channels the ranking is."""
        return len(self.owners)

    def counts(self, dropped: int) -> list[int]:
        """How many channels each group keeps when ``dropped`` of all were to go, rounded."""
        gone = torch.bincount(self.owners[:dropped], minlength=len(self.groups)).tolist()
        return [
            rounded(group.channels - lost, group.channels, self.round_to)
            for group, lost in zip(self.groups, gone, strict=True)
        ]

    def best(self, counts: Sequence[int]) -> list[Tensor]:
        """Each group's ``counts`` best channels, int64, ascending."""
        return [
            torch.argsort(scores, descending=True, stable=True)[:count].sort().values
            for scores, count in zip(self.scores, counts, strict=True)
        ]


def rounded(count: int, size: int, round_to: int) -> int:
    """The nearest number that a layer of ``size`` channels may keep: a multiple of ``round_to``, or all."""
    if size <= round_to:
        return size
    low = max(count // round_to * round_to, round_to)
    high = min(low + round_to, size)
    return low if count - low < high - count else high


def select(ranking: Ranking, cost: Cost, wanted: float) -> list[int]:
    """How many channels each group keeps so that nearly ``wanted`` multiply-adds are left.

    Raises:
        RecipeError: as few as that can't be reached.
    """
    fewest = cost.after(ranking.counts(ranking.total))
    if fewest > wanted:
        raise RecipeError(
            f"macs = {wanted / cost.total:.3g} of this network can't be reached: with round_to = {ranking.round_to} "
            f"its layers can be cut to {fewest / cost.total:.3g} at the least; "
            "ask for more, take a smaller round_to, or keep fewer layers"
        )
    held = [0] * len(ranking.groups)
    nearest = ranking.counts(0)
    while cost.after(_held(ranking, ranking.total, held)) <= wanted:
        above, below = _around(ranking, cost, wanted, held)
        nearest = min(nearest, above, below, key=lambda counts: abs(cost.after(counts) - wanted))
        if above == below or abs(cost.after(nearest) - wanted) <= NEAR * cost.total:
            break
        held = [more if more != fewer else one for one, more, fewer in zip(held, above, below, strict=True)]
    return nearest


def _around(ranking: Ranking, cost: Cost, wanted: float, held: list[int]) -> tuple[list[int], list[int]]:
    """The counts just before and just after ``wanted`` is reached."""

    def left(dropped: int) -> float:
        return cost.after(_held(ranking, dropped, held))

    enough = bisect.bisect_left(range(ranking.total), -wanted, key=lambda dropped: -left(dropped))
    return _held(ranking, max(enough - 1, 0), held), _held(ranking, enough, held)


def _held(ranking: Ranking, dropped: int, held: list[int]) -> list[int]:
    return [max(pair) for pair in zip(ranking.counts(dropped), held, strict=True)]


def scored(
    groups: Sequence[ChannelGroup], scores: Sequence[Tensor | None], options: PruneOptions
) -> tuple[list[ChannelGroup], list[Tensor]]:
    """The groups whose channels have scores, and these.

    Raises:
        RecipeError: none has, or scores are not numbers.
    """
    heard = [(group, found) for group, found in zip(groups, scores, strict=True) if found is not None]
    name = options.criterion.name
    if not heard:
        raise RecipeError(f"the criterion {name} has nothing to say of this network's layers: choose another one")
    for group, found in heard:
        if not bool(found.isfinite().all()):
            raise RecipeError(f"the criterion {name} gives channels of {group.name} scores that are not finite numbers")
    return [group for group, _ in heard], [found for _, found in heard]


def order(scores: Sequence[Tensor], *, is_global: bool) -> Tensor:
    """Whose channel goes first, second and so on: int64, places of groups; see ``Ranking.owners``."""
    sizes = torch.tensor([len(one) for one in scores])
    places = scores if is_global else [one.argsort(stable=True).argsort() / len(one) for one in scores]
    return torch.repeat_interleave(sizes)[torch.argsort(torch.cat(list(places)), stable=True)]
