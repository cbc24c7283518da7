"""Which values to try next: Optuna's samplers.

Every sampler is made anew for each trial, with a seed of that trial's own: what a
trial draws depends on the seed, its number and the trials before it, not on when
the process started. So a search that was killed goes on as if it had not been.
"""

import math
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from optimize.choice import Choice
from optimize.errors import RecipeError
from optimize.search.stored_values import to_stored
from optimize.seeding import stream_seed

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler

    from optimize.search.options import Span

MAX_GRID = 100_000
Startup = Annotated[int, Field(ge=1)]


def _seed(seed: int, trial: int) -> int:
    """NumPy's legacy generators, which Optuna uses, take 32 bits."""
    return stream_seed(seed, "search", trial) & 0xFFFFFFFF


class Grid(Choice):
    """Every combination once, in an order shuffled by seed."""

    def build(self, seed: int, trial: int, space: "dict[str, Span]") -> "BaseSampler":
        """See ``SamplerChoice``; ranges need ``points`` or ``step``, unless they are of whole numbers."""
        from optuna.samplers import GridSampler

        if any(span.when for span in space.values()):
            raise RecipeError("a grid can't have fields that depend on others (when): use another sampler")
        grid = {path: [to_stored(value) for value in span.grid()] for path, span in space.items()}
        for path, values in grid.items():
            if not values:
                raise RecipeError(
                    f"search.space: {path}: which values shall the grid try? give points, step or choices"
                )
        if (size := math.prod(map(len, grid.values()))) > MAX_GRID:
            raise RecipeError(f"the grid has {size:,} points, more than {MAX_GRID:,}: use another sampler")
        return GridSampler(grid, seed=_seed(seed, 0))


class Random(Choice):
    """Each value drawn by itself, evenly over its range (Bergstra and Bengio, 2012)."""

    def build(self, seed: int, trial: int, space: "dict[str, Span]") -> "BaseSampler":
        """See ``SamplerChoice``."""
        from optuna.samplers import RandomSampler

        return RandomSampler(seed=_seed(seed, trial))


class Tpe(Choice):
    """Tree-structured Parzen estimator (Bergstra et al., 2011; multivariate: Falkner et al., 2018).

    Attributes:
        startup: trials drawn at random before it begins to learn.
        candidates: points of which the best is taken.
    """

    startup: Startup = 10
    candidates: Annotated[int, Field(ge=1)] = 24

    def build(self, seed: int, trial: int, space: "dict[str, Span]") -> "BaseSampler":
        """See ``SamplerChoice``."""
        from optuna.samplers import TPESampler

        return TPESampler(
            seed=_seed(seed, trial), n_startup_trials=self.startup, n_ei_candidates=self.candidates, multivariate=True
        )


class Gp(Choice):
    """Gaussian process with log expected improvement (Ament et al., 2023); for few, dear trials.

    Attributes:
        startup: trials drawn at random before it begins to learn.
        is_deterministic: the same values always give the same result.
    """

    startup: Startup = 10
    is_deterministic: bool = False

    def build(self, seed: int, trial: int, space: "dict[str, Span]") -> "BaseSampler":
        """See ``SamplerChoice``."""
        from optuna.samplers import GPSampler

        return GPSampler(
            seed=_seed(seed, trial), n_startup_trials=self.startup, deterministic_objective=self.is_deterministic
        )
