"""The rate falls from step to step, down to a least factor at the last."""

from math import cos, pi

from optimize.training.schedules.schedule import Share, WarmedSchedule


class Linear(WarmedSchedule):
    """In a straight line.

    Attributes:
        minimum: factor at the last step.
    """

    minimum: Share = 0.0

    def shape(self, rest: float, epoch: int, epochs: int) -> float:
        """See ``WarmedSchedule.shape``."""
        return self.minimum + (1 - self.minimum) * (1 - rest)


class Cosine(WarmedSchedule):
    """Along half a cosine: slow, fast, slow (Loshchilov and Hutter, "SGDR", 2017; without restarts).

    Attributes:
        minimum: factor at the last step.
    """

    minimum: Share = 0.0

    def shape(self, rest: float, epoch: int, epochs: int) -> float:
        """See ``WarmedSchedule.shape``."""
        return self.minimum + (1 - self.minimum) * (1 + cos(pi * rest)) / 2
