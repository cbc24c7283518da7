"""Gradual unfreezing: the head first, then stage by stage towards the input.

So the new head's first, wild gradients never reach the features. Source: Howard & Ruder,
"Universal Language Model Fine-tuning" (2018), who unfreeze one layer an epoch.
"""

from pydantic import Field

from optimize.errors import RecipeError
from optimize.training.transfer.plan import Plan


class Gradual(Plan):
    """The head trains alone, then more and more of the network.

    Attributes:
        until: share of the epochs after which all that is to train does.
        keep_frozen: stages, counted from the input, that stay frozen to the end.
    """

    until: float = Field(default=0.5, gt=0, le=1)
    keep_frozen: int = Field(default=0, ge=0)

    def frozen(self, stages: int, epoch: int, epochs: int) -> int:
        """From all but the head in the first epoch evenly down to ``keep_frozen``.

        Raises:
            RecipeError: ``keep_frozen`` leaves nothing to train.
        """
        most = stages - 1
        if self.keep_frozen > most:
            raise RecipeError(
                f"transfer plan 'gradual': keep_frozen = {self.keep_frozen} freezes everything; this network has "
                f"{stages} stages, so at most {most} (the plan 'head')"
            )
        last = max(1, round(self.until * epochs) - 1)
        opened = -(-min(epoch, last) * (most - self.keep_frozen) // last)
        return most - opened
