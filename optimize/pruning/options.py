"""What a recipe says of pruning; free of torch."""

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from optimize.choice import Choice
from optimize.errors import RecipeError
from optimize.training.recipe_entries import Entry, entry_of

if TYPE_CHECKING:
    from optimize.pruning.criterion import Criterion
else:
    Criterion = object

_CRITERION = entry_of("optimize.pruning:CRITERIA")


class PruneOptions(Choice):
    """How much goes, and which channels.

    Attributes:
        macs: share of the multiply-adds of one picture to keep; rounding lets it be met nearly, the nearest is taken.
        criterion: an entry of ``CRITERIA``: which channels matter least.
        scope: "global" compares channels of all layers, so that some layers lose more; "uniform" takes
            the same share of each.
        round_to: layers that lose channels keep a multiple of this, and never fewer.
        steps: in how many steps; between two of them the network is to be fine-tuned.
        keep: names of layers, or of blocks of them, whose outputs all stay.
        reestimate: batches by which batch norms' statistics are computed anew afterwards.
    """

    macs: Annotated[float, Field(gt=0, lt=1)] = 0.5
    criterion: Annotated[Entry[Criterion], *_CRITERION] = Field(default="l2", validate_default=True)
    scope: Literal["global", "uniform"] = "global"
    round_to: Annotated[int, Field(ge=1, le=256)] = 8
    steps: Annotated[int, Field(ge=1, le=100)] = 1
    keep: Annotated[tuple[str, ...], Field(strict=False)] = ()
    reestimate: Annotated[int, Field(ge=0, le=10_000)] = 0

    def share_after(self, step: int) -> float:
        """Share of the unpruned network's multiply-adds after a step, from 1: each step keeps the same share.

        Raises:
            RecipeError: there is no such step.
        """
        if not 1 <= step <= self.steps:
            raise RecipeError(f"there is no step {step} of pruning: steps = {self.steps}")
        return float(self.macs ** (step / self.steps))
