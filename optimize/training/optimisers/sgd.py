"""Stochastic gradient descent, plain, with momentum, and with Nesterov's."""

from typing import TYPE_CHECKING, Any

from optimize.training.optimisers.optimiser import FUSED_DEVICES, Beta, Decay, DecouplingSettings, Rate, fused

if TYPE_CHECKING:
    from torch.optim import Optimizer


class Sgd(DecouplingSettings):
    """w ← w − lr · g (Robbins and Monro, 1951)."""

    lr: Rate = 0.1
    weight_decay: Decay = 0.0

    def make(self, groups: list[dict[str, Any]]) -> "Optimizer":
        """See ``OptimiserSettings.make``."""
        from torch.optim import SGD

        return SGD(groups, lr=self.lr, **fused(groups, *FUSED_DEVICES))


class Momentum(DecouplingSettings):
    """Steps add up: v ← momentum · v + g, w ← w − lr · v (Polyak, 1964).

    Attributes:
        dampening: share of the new gradient that is left out.
    """

    lr: Rate = 0.05
    weight_decay: Decay = 5e-4
    momentum: Beta = 0.9
    dampening: Beta = 0.0

    def make(self, groups: list[dict[str, Any]]) -> "Optimizer":
        """See ``OptimiserSettings.make``."""
        from torch.optim import SGD

        loop = fused(groups, *FUSED_DEVICES)
        return SGD(groups, lr=self.lr, momentum=self.momentum, dampening=self.dampening, **loop)


class Nesterov(DecouplingSettings):
    """Momentum that looks ahead: w ← w − lr · (g + momentum · v) (Sutskever et al., 2013)."""

    lr: Rate = 0.05
    weight_decay: Decay = 5e-4
    momentum: Beta = 0.9

    def make(self, groups: list[dict[str, Any]]) -> "Optimizer":
        """See ``OptimiserSettings.make``."""
        from torch.optim import SGD

        loop = fused(groups, *FUSED_DEVICES)
        return SGD(groups, lr=self.lr, momentum=self.momentum, nesterov=self.momentum > 0, **loop)
