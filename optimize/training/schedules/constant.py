"""The rate stays."""

from optimize.training.schedules.schedule import WarmedSchedule


class Constant(WarmedSchedule):
    """1 throughout, after the warm-up if there is one."""

    def shape(self, rest: float, epoch: int, epochs: int) -> float:
        """See ``WarmedSchedule.shape``."""
        return 1.0
