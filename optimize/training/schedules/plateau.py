"""The rate falls where the validation loss stops falling."""

from math import inf
from typing import Annotated

from pydantic import Field, PrivateAttr

from optimize.training.schedules.schedule import Share, WarmedSchedule


class Plateau(WarmedSchedule):
    """Multiplied by ``gamma`` after ``patience`` looks at the validation pictures without a better loss, and one more.

    The rules are those of torch's ``ReduceLROnPlateau``. It is the one schedule with a state: a resumed run
    must ``restore`` it. A look is taken every ``train.validate_every`` epochs.

    Attributes:
        gamma: what a fall multiplies by.
        patience: looks that may pass without improvement.
        threshold: share of the best by which a loss must be lower to count as better.
        cooldown: looks after a fall that are not counted.
        minimum: the least factor.
    """

    gamma: Annotated[float, Field(gt=0, lt=1)] = 0.1
    patience: Annotated[int, Field(ge=0)] = 5
    threshold: Annotated[float, Field(ge=0, lt=1)] = 1e-4
    cooldown: Annotated[int, Field(ge=0)] = 0
    minimum: Share = 0.0

    _factor: float = PrivateAttr(default=1.0)
    _best: float = PrivateAttr(default=inf)
    _bad: int = PrivateAttr(default=0)
    _cooling: int = PrivateAttr(default=0)

    def shape(self, rest: float, epoch: int, epochs: int) -> float:
        """See ``WarmedSchedule.shape``."""
        return max(self._factor, self.minimum)

    def observe(self, value: float) -> None:
        """See ``Schedule.observe``; a loss that is no number is no improvement."""
        if value < self._best * (1 - self.threshold):
            self._best, self._bad = value, 0
        else:
            self._bad += 1
        if self._cooling:
            self._cooling -= 1
            self._bad = 0
        if self._bad > self.patience:
            self._factor *= self.gamma
            self._cooling, self._bad = self.cooldown, 0

    def state(self) -> dict[str, float]:
        """See ``Schedule.state``."""
        return {"factor": self._factor, "best": self._best, "bad": self._bad, "cooling": self._cooling}

    def restore(self, state: dict[str, float]) -> None:
        """See ``Schedule.restore``."""
        self._factor, self._best = state["factor"], state["best"]
        self._bad, self._cooling = int(state["bad"]), int(state["cooling"])
