"""The last layer: the one whose outputs are the classes."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from optimize.errors import RecipeError


@dataclass(frozen=True, slots=True)
class Head:
    """``name`` of the last layer in the network, and the layer."""

    name: str
    layer: nn.Linear | nn.Conv2d

    @property
    def classes(self) -> int:
        """How many logits it gives."""
        return len(self.layer.weight)

    @property
    def keys(self) -> tuple[str, ...]:
        """Its tensors' names in the state dict."""
        return tuple(f"{self.name}.{key}" for key in self.layer.state_dict())


def head(module: nn.Module) -> Head:
    """The last linear layer or convolution, in the order of registration.

    Raises:
        RecipeError: the network has neither.
    """
    found = [(name, part) for name, part in module.named_modules() if isinstance(part, nn.Linear | nn.Conv2d)]
    if not found:
        raise RecipeError(f"{type(module).__name__} has no linear layer or convolution that gives its logits")
    return Head(*found[-1])


def copy_rows(state: dict[str, Tensor], keys: Sequence[str], rows: Sequence[int]) -> dict[str, Tensor]:
    """``state`` with the head's tensors (classes, …) taken row by row: other classes, or another order."""
    index = torch.tensor(list(rows), dtype=torch.int64)
    return {key: value[index] if key in keys else value for key, value in state.items()}
