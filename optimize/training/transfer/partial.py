"""The first stages stay as they are: they know edges and textures, and cost the most to train."""

from pydantic import Field

from optimize.errors import RecipeError
from optimize.training.transfer.plan import Plan


class Partial(Plan):
    """``stages`` of the network, counted from the input, are frozen; ``quickeye train`` prints how many there are."""

    stages: int = Field(ge=0)

    def frozen(self, stages: int, epoch: int, epochs: int) -> int:
        """As many as the recipe says.

        Raises:
            RecipeError: nothing would be left to train.
        """
        if self.stages >= stages:
            raise RecipeError(
                f"transfer plan 'partial': stages = {self.stages} freezes everything; this network has {stages}, "
                f"so at most {stages - 1} (the plan 'head')"
            )
        return self.stages
