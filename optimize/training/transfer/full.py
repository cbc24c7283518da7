"""All of the network trains, from the first step."""

from optimize.training.transfer.plan import Plan


class Full(Plan):
    """Plain fine-tuning, or training from nothing."""

    def frozen(self, stages: int, epoch: int, epochs: int) -> int:
        """None."""
        return 0
