"""A schedule's word, put into an optimiser."""

from typing import TYPE_CHECKING

from optimize.training.schedules import Schedule

if TYPE_CHECKING:
    from torch.optim import Optimizer

# Group key of the group's own rate, as torch's schedulers call it; it is in the optimiser's state.
OWN_LR = "initial_lr"


def set_rates(optimiser: "Optimizer", schedule: Schedule, progress: float, epoch: int, epochs: int) -> float:
    """Set every group's rate to its own times the schedule's factor, before a step.

    Args:
        progress: see ``Schedule.factor``, as for ``epoch`` and ``epochs``.
    Returns:
        The factor.
    """
    factor = schedule.factor(progress, epoch, epochs)
    momentum = schedule.momentum(progress, epoch, epochs)
    for group in optimiser.param_groups:
        group["lr"] = group.setdefault(OWN_LR, group["lr"]) * factor
        if momentum is not None and "betas" in group:
            group["betas"] = (momentum, *group["betas"][1:])
        elif momentum is not None and "momentum" in group:
            group["momentum"] = momentum
    return factor
