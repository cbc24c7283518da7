"""Deep ensembles: the same recipe from several seeds, probabilities averaged.

Source: Lakshminarayanan, Pritzel and Blundell, 2017.
"""

from optimize.choice import Choice
from optimize.ensembles.composite import mean_of
from optimize.ensembles.variants import Count, Variants, values_of
from optimize.ensembles.workshop import Made, Workshop


class Deep(Choice):
    """Settings.

    Attributes:
        members: how many.
        variants: recipe fields of each member besides its seed; come round where there are fewer than members.
    """

    members: Count = 5
    variants: Variants

    def make(self, workshop: Workshop) -> Made:
        """See ``EnsembleChoice``."""
        seed = workshop.recipe.seed
        members = [
            workshop.train(str(index + 1), values_of(index, self.variants, seed)) for index in range(self.members)
        ]
        return mean_of(members)
