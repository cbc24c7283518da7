"""The rate rises to the optimiser's and falls far below where it began, in one cycle; momentum goes the other way.

Source: Smith and Topin, "Super-Convergence", 2018, in the form of torch's ``OneCycleLR``:
the optimiser's ``lr`` is the largest rate, ``rise`` its ``pct_start``.
"""

from math import cos, pi
from typing import Annotated, Literal

from pydantic import Field

from optimize.training.schedules.schedule import WarmedSchedule

Momentum = Annotated[float, Field(ge=0, lt=1)]
Division = Annotated[float, Field(ge=1)]


class OneCycle(WarmedSchedule):
    """Its rise is a warm-up of its own, so that it rarely wants another.

    Attributes:
        rise: share of the training until the largest rate.
        start_division: the first rate is the largest divided by this.
        end_division: the last rate is the first divided by this.
        anneal: the way between: half a cosine or a straight line.
        cycle_momentum: momentum (Adam's first beta) falls while the rate rises, and back.
        high_momentum, low_momentum: at the ends, and at the largest rate.
    """

    rise: Annotated[float, Field(gt=0, lt=1)] = 0.3
    start_division: Division = 25.0
    end_division: Division = 1e4
    anneal: Literal["cosine", "linear"] = "cosine"
    cycle_momentum: bool = False
    high_momentum: Momentum = 0.95
    low_momentum: Momentum = 0.85

    def shape(self, rest: float, epoch: int, epochs: int) -> float:
        """See ``WarmedSchedule.shape``."""
        start = 1 / self.start_division
        if rest <= self.rise:
            return self._between(start, 1.0, rest / self.rise)
        return self._between(1.0, start / self.end_division, (rest - self.rise) / (1 - self.rise))

    def momentum(self, progress: float, epoch: int, epochs: int) -> float | None:
        """See ``Schedule.momentum``."""
        if not self.cycle_momentum:
            return None
        rest = self._after_warmup(progress, epochs)
        if rest <= self.rise:
            return self._between(self.high_momentum, self.low_momentum, rest / self.rise)
        return self._between(self.low_momentum, self.high_momentum, (rest - self.rise) / (1 - self.rise))

    def _between(self, first: float, last: float, share: float) -> float:
        if self.anneal == "linear":
            return first + (last - first) * share
        return last + (first - last) / 2 * (1 + cos(pi * share))
