"""Several networks that answer as one: how they are made, what they are worth, and the bundle that holds them."""

from typing import TYPE_CHECKING, Protocol

from optimize.choice import Table

if TYPE_CHECKING:
    from optimize.ensembles.workshop import Made, Workshop


class EnsembleChoice(Protocol):
    """An entry of ``ENSEMBLES``."""

    def make(self, workshop: "Workshop") -> "Made":
        """Train what is missing and put the members together; what is there already is not done again.

        Raises:
            RecipeError: the settings do not fit the recipe or each other.
            TrainingError: a member could not be trained.
        """
        ...


ENSEMBLES: Table[EnsembleChoice] = Table(
    "ensemble",
    {
        "average": "optimize.ensembles.average:Average",
        "bagging": "optimize.ensembles.bagging:Bagging",
        "boosting": "optimize.ensembles.boosting:Boosting",
        "deep": "optimize.ensembles.deep:Deep",
        "soup": "optimize.ensembles.soup:Soup",
        "stacking": "optimize.ensembles.stacking:Stacking",
    },
)
