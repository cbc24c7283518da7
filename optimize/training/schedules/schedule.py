"""What every schedule has: a warm-up before its own shape, and nothing to remember."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from optimize.choice import Choice

Share = Annotated[float, Field(ge=0, le=1)]


class WarmedSchedule(Choice):
    """Base of the entries of ``SCHEDULES``; a subclass writes ``shape``.

    The warm-up grows in a straight line from ``warmup_start`` to 1 and multiplies what the shape
    begins with (Goyal et al., "Accurate, Large Minibatch SGD", 2017). Shapes over the whole training begin
    after it; those that name epochs keep them.

    Attributes:
        warmup: share of the training.
        warmup_epochs: the same in epochs; fractions are fine. One of the two.
        warmup_start: factor at the first step; 0 would waste it.
    """

    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.0
    warmup_epochs: Annotated[float, Field(ge=0)] = 0.0
    warmup_start: Share = 0.01

    @model_validator(mode="after")
    def _one_warmup(self) -> Self:
        if self.warmup and self.warmup_epochs:
            raise ValueError("warmup is a share of the training and warmup_epochs the same in epochs: give one of them")
        return self

    def factor(self, progress: float, epoch: int, epochs: int) -> float:
        """See ``Schedule.factor``."""
        warm = self._warm_until(epochs)
        shape = self.shape(self._after_warmup(progress, epochs), epoch, epochs)
        if progress >= warm:
            return shape
        return shape * (self.warmup_start + (1 - self.warmup_start) * progress / warm)

    def shape(self, rest: float, epoch: int, epochs: int) -> float:
        """The factor without warm-up.

        Args:
            rest: 0 at the end of the warm-up, 1 at the last step.
            epoch: the current one of ``epochs``, from 0.
        """
        raise NotImplementedError

    def momentum(self, progress: float, epoch: int, epochs: int) -> float | None:
        """See ``Schedule.momentum``."""
        return None

    def observe(self, value: float) -> None:
        """See ``Schedule.observe``."""

    def state(self) -> dict[str, float]:
        """See ``Schedule.state``."""
        return {}

    def restore(self, state: dict[str, float]) -> None:
        """See ``Schedule.restore``."""

    def _warm_until(self, epochs: int) -> float:
        """Share of the training; a warm-up longer than the training is all of it."""
        return min(self.warmup_epochs / epochs, 1.0) if self.warmup_epochs else self.warmup

    def _after_warmup(self, progress: float, epochs: int) -> float:
        """0 until the warm-up ends, 1 at the last step."""
        warm = self._warm_until(epochs)
        return min(max((progress - warm) / (1 - warm), 0.0), 1.0) if warm < 1 else 0.0
