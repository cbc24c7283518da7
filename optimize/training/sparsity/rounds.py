"""When zeros come, and how many: the cubic schedule.

Many at first, while the network has more weights than it needs, then ever fewer
(Zhu and Gupta, "To prune, or not to prune", 2017, arXiv:1710.01878, equation 1):

    s(t) = s_end + (s_start − s_end) · (1 − (t − t_first) / (t_last − t_first))³

A function of the step alone, so there is nothing to remember when a run goes on.
"""

from dataclasses import dataclass
from typing import Self

from optimize.training.sparsity.options import SparsityOptions


@dataclass(frozen=True, slots=True)
class Rounds:
    """Steps of the optimiser, from 0: zeros are chosen anew after ``first``, every so many on, and after ``last``."""

    first: int
    last: int
    every: int

    @classmethod
    def of(cls, options: SparsityOptions, updates: int) -> Self:
        """Those of a run.

        Args:
            updates: steps of the optimiser in the whole run.
        """
        first, last = (round(share * (updates - 1)) for share in (options.begin, options.end))
        return cls(first, last, max(1, (last - first) // options.rounds))

    def has(self, update: int) -> bool:
        """Whether zeros are chosen anew after this step."""
        if not self.first <= update <= self.last:
            return False
        return update == self.last or (update - self.first) % self.every == 0

    def share(self, update: int, start: float, end: float) -> float:
        """How many of the weights are to be 0 after this step, from ``start`` at the first to ``end`` at the last."""
        if update >= self.last:
            return end
        left = 1 - (update - self.first) / (self.last - self.first)
        return end + (start - end) * left**3
