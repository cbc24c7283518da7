"""What every optimiser's entry has: a rate, weight decay of either kind, and torch's fastest loop over tensors.

Weight decay comes in two kinds. *L2* adds weight_decay · w to the gradient, so
that an adaptive optimiser divides it by the gradient's size like everything else.
*Decoupled* takes lr · weight_decay · w from the weight beside the step (Loshchilov and
Hutter, "Decoupled Weight Decay Regularization", 2019). For plain SGD both are the same; with
momentum they nearly are; for Adam they are not, and the decoupled kind (``adamw``) is what works.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from optimize.choice import Choice

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer

Rate = Annotated[float, Field(gt=0)]
Decay = Annotated[float, Field(ge=0, lt=1)]
Beta = Annotated[float, Field(ge=0, lt=1)]
Groups = Iterable[Mapping[str, Any]]

# Where torch has fused loops for SGD and Adam.
FUSED_DEVICES = ("cpu", "cuda")

# Group key that holds the decoupled decay of optimisers of which torch knows only L2.
DECOUPLED = "decoupled_decay"


class OptimiserSettings(Choice):
    """Base of the entries of ``OPTIMISERS``; a subclass has an ``lr`` and writes ``make``."""

    lr: Rate
    weight_decay: Decay = 0.0

    def build(self, parameter_groups: Groups) -> "Optimizer":
        """See ``OptimiserChoice.build``."""
        return self.make([{"lr": self.lr, "weight_decay": self.weight_decay, **group} for group in parameter_groups])

    def make(self, groups: list[dict[str, Any]]) -> "Optimizer":
        """Torch's optimiser over groups that carry lr and weight_decay."""
        raise NotImplementedError


class DecouplingSettings(OptimiserSettings):
    """An optimiser of which torch knows L2 alone; decoupled decay is put before its steps.

    Attributes:
        decoupled: weight decay beside the step, not through the gradient.
    """

    decoupled: bool = False

    def build(self, parameter_groups: Groups) -> "Optimizer":
        """See ``OptimiserChoice.build``."""
        if not self.decoupled:
            return super().build(parameter_groups)
        groups = [
            {"lr": self.lr, **group, "weight_decay": 0.0, DECOUPLED: group.get("weight_decay", self.weight_decay)}
            for group in parameter_groups
        ]
        optimiser = self.make(groups)
        optimiser.register_step_pre_hook(_decay)
        return optimiser


def _decay(optimiser: "Optimizer", args: object, kwargs: object) -> None:
    """w ← (1 − lr · decay) w, for weights that have a gradient."""
    import torch

    overflowed = getattr(optimiser, "found_inf", None)  # a gradient scaler's word that this step will be left out
    if overflowed is not None and bool(overflowed):
        return
    with torch.no_grad():
        for group in optimiser.param_groups:
            weights = [weight for weight in group["params"] if weight.grad is not None]
            if group[DECOUPLED] and weights:
                torch._foreach_mul_(weights, 1 - group["lr"] * group[DECOUPLED])


def fused(groups: list[dict[str, Any]], *devices: str) -> dict[str, bool]:
    """Torch's fused loop over tensors where it has one, else the loop over lists of them.

    Of an EfficientNet-Lite0's step on one CPU core, the fused loop takes a third (SGD) to a fifth (AdamW).

    Args:
        devices: where this optimiser has the fused loop.
    """
    parameters: list[nn.Parameter] = [parameter for group in groups for parameter in group["params"]]
    fits = all(parameter.device.type in devices for parameter in parameters)
    return {"fused": True} if fits and parameters and devices else {"foreach": True}
