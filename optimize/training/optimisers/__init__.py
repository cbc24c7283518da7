"""Optimisers by name, torch's own; nothing is imported until one is chosen.

Each entry holds the settings that a recipe may give and builds the torch optimiser
over parameter groups. A group may carry an ``lr`` and a ``weight_decay`` of its own
(layer-wise rates, norms without decay); what it does not carry is the entry's.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Protocol

from optimize.choice import Table

if TYPE_CHECKING:
    import torch

_HERE = "optimize.training.optimisers"


class OptimiserChoice(Protocol):
    """An entry of ``OPTIMISERS``.

    Attributes:
        lr: of groups that carry none.
        weight_decay: likewise.
    """

    @property
    def lr(self) -> float: ...

    @property
    def weight_decay(self) -> float: ...

    def build(self, parameter_groups: Iterable[dict[str, Any]]) -> "torch.optim.Optimizer":
        """Torch's optimiser.

        Args:
            parameter_groups: each ``{"params": […]}``, with ``lr`` and ``weight_decay`` where it has its own.
        """
        ...


OPTIMISERS: Table[OptimiserChoice] = Table(
    "optimiser",
    {
        "sgd": f"{_HERE}.sgd:Sgd",
        "momentum": f"{_HERE}.sgd:Momentum",
        "nesterov": f"{_HERE}.sgd:Nesterov",
        "adagrad": f"{_HERE}.adaptive:Adagrad",
        "rmsprop": f"{_HERE}.adaptive:RmsProp",
        "adam": f"{_HERE}.adam:Adam",
        "adamw": f"{_HERE}.adam:AdamW",
        "adamax": f"{_HERE}.adam:Adamax",
    },
)
