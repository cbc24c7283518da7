"""Which trials to end before their time: Optuna's pruners, fed with the objective after each epoch."""

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from optimize.choice import Choice

if TYPE_CHECKING:
    from optuna.pruners import BasePruner

Factor = Annotated[int, Field(ge=2, le=100)]


class NoPruning(Choice):
    """Every trial runs to its end."""

    def build(self, epochs: int) -> "BasePruner":
        """See ``PrunerChoice``."""
        from optuna.pruners import NopPruner

        return NopPruner()


class Median(Choice):
    """Ends a trial whose best so far is below the median of the others at the same epoch (Golovin et al., 2017).

    Attributes:
        startup: trials that must be complete before any is ended.
        warmup: epochs that every trial is left.
    """

    startup: Annotated[int, Field(ge=0)] = 4
    warmup: Annotated[int, Field(ge=0)] = 1

    def build(self, epochs: int) -> "BasePruner":
        """See ``PrunerChoice``."""
        from optuna.pruners import MedianPruner

        return MedianPruner(n_startup_trials=self.startup, n_warmup_steps=self.warmup)


class SuccessiveHalving(Choice):
    """Of those that reach an epoch 1, 3, 9, …, one in ``factor`` goes on (asynchronous: Li et al., 2018).

    Attributes:
        first: the epoch of the first decision.
        factor: one in how many goes on.
    """

    first: Annotated[int, Field(ge=1)] = 1
    factor: Factor = 3

    def build(self, epochs: int) -> "BasePruner":
        """See ``PrunerChoice``."""
        from optuna.pruners import SuccessiveHalvingPruner

        return SuccessiveHalvingPruner(min_resource=self.first, reduction_factor=self.factor)


class Hyperband(Choice):
    """Successive halving in several brackets, from hasty to patient (Li et al., 2018).

    Attributes:
        first: the epoch of the hastiest bracket's first decision.
        factor: one in how many goes on.
    """

    first: Annotated[int, Field(ge=1)] = 1
    factor: Factor = 3

    def build(self, epochs: int) -> "BasePruner":
        """See ``PrunerChoice``."""
        from optuna.pruners import HyperbandPruner

        most = max(epochs, self.first)
        return HyperbandPruner(min_resource=self.first, max_resource=most, reduction_factor=self.factor)
