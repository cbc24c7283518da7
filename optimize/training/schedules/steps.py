"""The rate falls in steps, between epochs."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from optimize.training.schedules.schedule import WarmedSchedule

Fall = Annotated[float, Field(gt=0, le=1)]
Milestone = Annotated[int, Field(ge=1)] | Annotated[float, Field(gt=0, lt=1)]

ROUNDING = 1e-9  # epochs


class Step(WarmedSchedule):
    """Multiplied by ``gamma`` every ``every`` epochs.

    Attributes:
        every: epochs.
    """

    every: Annotated[int, Field(ge=1)] = 30
    gamma: Fall = 0.1

    def shape(self, rest: float, epoch: int, epochs: int) -> float:
        """See ``WarmedSchedule.shape``."""
        return float(self.gamma ** (epoch // self.every))


class MultiStep(WarmedSchedule):
    """Multiplied by ``gamma`` at each milestone.

    Attributes:
        milestones: shares of the epochs, such as [0.5, 0.75], or whole numbers of epochs, such as [30, 60].
    """

    milestones: Annotated[tuple[Milestone, ...], Field(strict=False)] = (0.5, 0.75)
    gamma: Fall = 0.1

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if list(self.milestones) != sorted(set(self.milestones)):
            raise ValueError("milestones must grow from one to the next")
        if len({isinstance(one, int) for one in self.milestones}) > 1:
            raise ValueError("milestones are all shares of the epochs (below 1) or all whole epochs")
        return self

    def shape(self, rest: float, epoch: int, epochs: int) -> float:
        """See ``WarmedSchedule.shape``."""
        # 0.55 · 100 is 55.000…01 to a computer.
        passed = sum(epoch >= (one if isinstance(one, int) else one * epochs - ROUNDING) for one in self.milestones)
        return float(self.gamma**passed)
