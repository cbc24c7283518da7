"""Optimisers that divide each weight's step by the size of its past gradients, without a momentum of their own."""

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from optimize.training.optimisers.optimiser import Beta, Decay, DecouplingSettings, Rate, fused

if TYPE_CHECKING:
    from torch.optim import Optimizer


class Adagrad(DecouplingSettings):
    """Divides by the root of the sum of all squares so far (Duchi, Hazan and Singer, 2011): steps only get smaller.

    Attributes:
        lr_decay: the rate is divided by 1 + steps · lr_decay, beside the schedule.
        initial_accumulator: what the sum begins with.
        eps: added to the root.
    """

    lr: Rate = 0.01
    weight_decay: Decay = 0.0
    lr_decay: Annotated[float, Field(ge=0)] = 0.0
    initial_accumulator: Annotated[float, Field(ge=0)] = 0.0
    eps: Rate = 1e-10

    def make(self, groups: list[dict[str, Any]]) -> "Optimizer":
        """See ``OptimiserSettings.make``."""
        from torch.optim import Adagrad as TorchAdagrad

        return TorchAdagrad(
            groups,
            lr=self.lr,
            lr_decay=self.lr_decay,
            initial_accumulator_value=self.initial_accumulator,
            eps=self.eps,
            **fused(groups, "cpu"),
        )


class RmsProp(DecouplingSettings):
    """Divides by the root of a fading mean of the squares (Tieleman and Hinton, 2012).

    Attributes:
        alpha: how much of its past that mean keeps.
        momentum: of the divided gradients.
        centred: subtracts the squared mean gradient from the mean square.
        eps: added to the root; MobileNets take 1e-3 or more.
    """

    lr: Rate = 1e-3
    weight_decay: Decay = 0.0
    alpha: Beta = 0.99
    momentum: Beta = 0.0
    centred: bool = False
    eps: Rate = 1e-8

    def make(self, groups: list[dict[str, Any]]) -> "Optimizer":
        """See ``OptimiserSettings.make``."""
        from torch.optim import RMSprop

        return RMSprop(
            groups,
            lr=self.lr,
            alpha=self.alpha,
            momentum=self.momentum,
            centered=self.centred,
            eps=self.eps,
            **fused(groups),
        )
