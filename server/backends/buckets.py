"""The batch sizes an engine is prepared for: recorded graphs have one size each, so a batch goes into the next larger.

A size that the device's memory does not hold is given up, with all above it; what no longer fits in one goes in parts.
"""

from collections.abc import Callable
from typing import Any, TypeVar

Part = TypeVar("Part", bound=tuple[Any, ...])  # its first entry has a row for each picture


def in_parts(part: Callable[[int], Part], images: int) -> list[Part]:
    """The answers to all: ``part`` runs as many as fit together, from the one it is given on."""
    answered: list[Part] = []
    done = 0
    while done < images:
        answered.append(part(done))
        done += len(answered[-1][0])
    return answered


class Buckets:
    """Rising sizes; the largest may be given up, the smallest not."""

    def __init__(self, sizes: list[int]) -> None:
        self._sizes = sorted(sizes)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Those that are left, rising."""
        return tuple(self._sizes)

    @property
    def largest(self) -> int:
        """The most pictures of one run."""
        return self._sizes[-1]

    def lower(self, below: int) -> bool:
        """Give up all sizes from ``below`` on; False, and nothing changed, where none would be left."""
        kept = [size for size in self._sizes if size < below]
        if kept:
            self._sizes = kept
        return bool(kept)

    def fit(self, images: int) -> int:
        """The smallest size that holds so many pictures, at most ``largest``."""
        return next(size for size in self._sizes if size >= images)
