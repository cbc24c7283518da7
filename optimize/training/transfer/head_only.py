"""The features stay as they are; the head alone learns."""

from optimize.training.transfer.plan import Plan


class HeadOnly(Plan):
    """Linear probing.

    Attributes:
        cached: compute what enters the head once for each picture and train on that; only where
            nothing random happens to the pictures.
    """

    cached: bool = False

    def frozen(self, stages: int, epoch: int, epochs: int) -> int:
        """All but the head."""
        return stages - 1

    @property
    def caches_features(self) -> bool:
        """As the recipe says."""
        return self.cached
