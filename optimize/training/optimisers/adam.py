"""Adam and its kin."""

from typing import TYPE_CHECKING, Any

from optimize.training.optimisers.optimiser import (
    FUSED_DEVICES,
    Beta,
    Decay,
    DecouplingSettings,
    OptimiserSettings,
    Rate,
    fused,
)

if TYPE_CHECKING:
    from torch.optim import Optimizer


class Adam(OptimiserSettings):
    """Kingma and Ba, 2015. Weight decay is L2, through the gradient; ``adamw`` has the decoupled kind.

    Attributes:
        beta1: how much of its past the mean gradient keeps.
        beta2: likewise the mean square.
        eps: added to the root of the mean square.
        amsgrad: the mean square never shrinks (Reddi et al., 2018).
    """

    lr: Rate = 1e-3
    weight_decay: Decay = 0.0
    beta1: Beta = 0.9
    beta2: Beta = 0.999
    eps: Rate = 1e-8
    amsgrad: bool = False

    def make(self, groups: list[dict[str, Any]]) -> "Optimizer":
        """See ``OptimiserSettings.make``."""
        import torch

        betas = (self.beta1, self.beta2)
        return torch.optim.Adam(
            groups, lr=self.lr, betas=betas, eps=self.eps, amsgrad=self.amsgrad, **fused(groups, *FUSED_DEVICES)
        )


class AdamW(OptimiserSettings):
    """Adam with decoupled weight decay: w loses lr · weight_decay · w beside the step (Loshchilov and Hutter, 2019).

    Attributes:
        beta1, beta2, eps, amsgrad: as in ``adam``.
    """

    lr: Rate = 1e-3
    weight_decay: Decay = 0.05
    beta1: Beta = 0.9
    beta2: Beta = 0.999
    eps: Rate = 1e-8
    amsgrad: bool = False

    def make(self, groups: list[dict[str, Any]]) -> "Optimizer":
        """See ``OptimiserSettings.make``."""
        import torch

        betas = (self.beta1, self.beta2)
        return torch.optim.AdamW(
            groups, lr=self.lr, betas=betas, eps=self.eps, amsgrad=self.amsgrad, **fused(groups, *FUSED_DEVICES)
        )


class Adamax(DecouplingSettings):
    """Adam with the largest gradient so far, faded, in place of the mean square (Kingma and Ba, 2015, section 7)."""

    lr: Rate = 2e-3
    weight_decay: Decay = 0.0
    beta1: Beta = 0.9
    beta2: Beta = 0.999
    eps: Rate = 1e-8

    def make(self, groups: list[dict[str, Any]]) -> "Optimizer":
        """See ``OptimiserSettings.make``."""
        import torch

        return torch.optim.Adamax(groups, lr=self.lr, betas=(self.beta1, self.beta2), eps=self.eps, **fused(groups))
