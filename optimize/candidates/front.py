"""Which candidates are worth having: the others lose accuracy and give nothing that can be told from noise.

From the most accurate down, a candidate stays if, beside every one that stays above it, it is
clearly faster or clearly smaller. Clearly faster: by 5 %, and by more than twice what the
rounds of measuring were apart. Clearly smaller: by 10 %.
"""

from collections.abc import Sequence
from typing import Protocol

FASTER = 1.05
SMALLER = 0.9


class Weighed(Protocol):
    """What is compared of a candidate."""

    @property
    def faster(self) -> float:
        """Times the parent's speed."""
        ...

    @property
    def spread(self) -> float:
        """How far the rounds lie apart, in the unit of ``faster``."""
        ...

    @property
    def bytes(self) -> int:
        """Of ``model.onnx``."""
        ...

    @property
    def right(self) -> float:
        """Share of the choosing pictures that it gets right."""
        ...


def front(candidates: Sequence[Weighed], *, parent: int | None = None) -> list[int]:
    """Places of those that stay, the most accurate first.

    Args:
        parent: place of what is there already; one as accurate that brings nothing does not take its place.
    """
    kept: list[int] = []
    for place in sorted(range(len(candidates)), key=lambda one: _rank(candidates[one])):
        one = candidates[place]
        brings = parent in (None, place) or one.right != candidates[parent].right or _is_worth(one, candidates[parent])
        if brings and all(_is_worth(one, candidates[other]) for other in kept):
            kept.append(place)
    return kept


def _rank(one: Weighed) -> tuple[float, float, int]:
    return -one.right, -one.faster, one.bytes


def _is_worth(one: Weighed, better: Weighed) -> bool:
    """Whether it has something for the accuracy that it lacks."""
    gained = one.faster - better.faster
    is_faster = one.faster >= FASTER * better.faster and gained > 2 * max(one.spread, better.spread)
    return is_faster or one.bytes <= SMALLER * better.bytes
