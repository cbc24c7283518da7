"""What every transfer plan has: how many stages are frozen in an epoch, and each stage's learning rate.

A frozen stage gets no gradients, and where all stages before it are frozen too autograd
records nothing of them: the step costs their forward pass alone. Its batch norms and
dropout behave as in evaluation.

Everything is a function of the epoch, so that a run that is continued freezes the same.
"""

from typing import TYPE_CHECKING

from pydantic import Field

from optimize.choice import Choice

if TYPE_CHECKING:
    from optimize.training.network.network import Network


class Plan(Choice):
    """Base of the plans.

    Attributes:
        layer_decay: each stage's learning rate is this times that of the stage after it (1: all alike).
        head_lr_factor: the head's learning rate over that of the stage before it, before ``layer_decay``.
        adapt_batch_norm: at the end, batch norms take their statistics from the unlabelled target folder.
    """

    layer_decay: float = Field(default=1.0, gt=0, le=1)
    head_lr_factor: float = Field(default=1.0, gt=0)
    adapt_batch_norm: bool = False

    def frozen(self, stages: int, epoch: int, epochs: int) -> int:
        """How many of ``stages``, counted from the input, are frozen in ``epoch`` (from 0)."""
        raise NotImplementedError

    def ever_trained(self, stages: int, epochs: int) -> range:
        """The stages that some epoch trains."""
        return range(min(self.frozen(stages, epoch, epochs) for epoch in range(max(epochs, 1))), stages)

    def lr_factor(self, stage: int, stages: int) -> float:
        """What the learning rate is multiplied by for ``stage`` (from 0, the head last)."""
        own = self.head_lr_factor if stage == stages - 1 else 1.0
        return float(own * self.layer_decay ** (stages - 1 - stage))

    @property
    def caches_features(self) -> bool:
        """Whether what enters the head may be computed once, where nothing random happens to the pictures."""
        return False

    def begin_epoch(self, network: "Network", epoch: int, epochs: int) -> int:
        """Freeze and unfreeze, and put the network into training mode.

        Args:
            network: its module's ``requires_grad`` flags and modes are set.
            epoch: from 0.
        Returns:
            How many stages are frozen.
        """
        from optimize.training.network.stages import stages

        parts = stages(network.module)
        frozen = self.frozen(len(parts), epoch, epochs)
        for number, part in enumerate(parts):
            for parameter in part.parameters():
                parameter.requires_grad_(number >= frozen)
        network.train()
        return frozen
