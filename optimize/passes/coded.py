"""A tensor in 8 bits: its codes, and what a code stands for."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from optimize.passes.streamed import Codes


@dataclass(frozen=True, slots=True)
class Scale:
    """``value = (code - zero) * size``; codes are 0 to 255."""

    size: float
    zero: int

    @property
    def low(self) -> float:
        """What code 0 stands for."""
        return -self.zero * self.size

    @property
    def high(self) -> float:
        """What code 255 stands for."""
        return (255 - self.zero) * self.size


@dataclass(frozen=True, slots=True)
class Coded:
    """The codes of all calibration pictures, and their scale."""

    codes: Codes
    scale: Scale

    def chunks(self) -> Iterator[Tensor]:
        """Whole numbers around 0, float64, a few pictures at a time."""
        for part in self.codes:
            yield part.double() - self.scale.zero


def encode(values: Tensor, scale: Scale) -> Tensor:
    """float32 (n, …) → uint8 codes."""
    return torch.clamp(torch.round(values.double() / scale.size) + scale.zero, 0, 255).to(torch.uint8)
