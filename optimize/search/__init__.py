"""Search over a recipe's fields: what to try next, which trials to end early, and what came out.

``SAMPLERS`` propose values, ``PRUNERS`` end bad trials early; both are Optuna's.
"""

from typing import TYPE_CHECKING, Protocol

from optimize.choice import Table

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler

    from optimize.search.options import Span


class SamplerChoice(Protocol):
    """An entry of ``SAMPLERS``."""

    def build(self, seed: int, trial: int, space: "dict[str, Span]") -> "BaseSampler":
        """Optuna's sampler for one trial; draws depend on ``seed``, the trial's number and the trials so far.

        Raises:
            RecipeError: the space is not one that it can search.
        """
        ...


class PrunerChoice(Protocol):
    """An entry of ``PRUNERS``."""

    def build(self, epochs: int) -> "BasePruner":
        """Optuna's pruner, for trials of so many epochs."""
        ...


SAMPLERS: Table[SamplerChoice] = Table(
    "sampler",
    {
        "grid": "optimize.search.samplers:Grid",
        "random": "optimize.search.samplers:Random",
        "tpe": "optimize.search.samplers:Tpe",
        "gp": "optimize.search.samplers:Gp",
    },
)

PRUNERS: Table[PrunerChoice] = Table(
    "pruner",
    {
        "none": "optimize.search.pruners:NoPruning",
        "median": "optimize.search.pruners:Median",
        "successive_halving": "optimize.search.pruners:SuccessiveHalving",
        "hyperband": "optimize.search.pruners:Hyperband",
    },
)
