"""Learning-rate schedules by name; nothing is imported until one is chosen.

A schedule is a pure function of how far the training is: ``factor`` multiplies
every group's own rate. So a resumed run needs no state of it; plateau alone, which
watches the validation loss, has some. ``rates.set_rates`` puts a schedule's word into
an optimiser.
"""

from typing import Protocol

from optimize.choice import Table

_HERE = "optimize.training.schedules"


class Schedule(Protocol):
    """An entry of ``SCHEDULES``."""

    def factor(self, progress: float, epoch: int, epochs: int) -> float:
        """What the rate is multiplied by, 0 or more.

        Args:
            progress: 0 at the first step of the training, 1 at the last.
            epoch: the current one, from 0.
            epochs: of the whole training.
        """
        ...

    def momentum(self, progress: float, epoch: int, epochs: int) -> float | None:
        """The momentum (Adam's first beta) to use now; None leaves the optimiser's own."""
        ...

    def observe(self, value: float) -> None:
        """See the validation loss at the end of an epoch; all but plateau ignore it."""
        ...

    def state(self) -> dict[str, float]:
        """What ``restore`` needs; empty but for plateau."""
        ...

    def restore(self, state: dict[str, float]) -> None:
        """Go on where ``state`` was taken."""
        ...


SCHEDULES: Table[Schedule] = Table(
    "schedule",
    {
        "constant": f"{_HERE}.constant:Constant",
        "step": f"{_HERE}.steps:Step",
        "multi_step": f"{_HERE}.steps:MultiStep",
        "linear": f"{_HERE}.annealing:Linear",
        "cosine": f"{_HERE}.annealing:Cosine",
        "one_cycle": f"{_HERE}.one_cycle:OneCycle",
        "plateau": f"{_HERE}.plateau:Plateau",
    },
)
