"""A tensor in whole numbers: its codes, and what a code stands for.

8 bits where engines compute with codes. A tensor that stays in float is held in 16 bits here, so that
sums of it are whole numbers too, thus exact: its error is four thousandths of what 8 bits err.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from optimize.passes.streamed import Codes

EIGHT_BITS = 2**8 - 1
AS_FLOAT = 2**16 - 1


@dataclass(frozen=True, slots=True)
class Scale:
    """``value = (code - zero) * size``; codes are 0 to ``top``, which is ``AS_FLOAT`` of a tensor in float."""

    size: float
    zero: int
    top: int = EIGHT_BITS

    @property
    def low(self) -> float:
        """What code 0 stands for."""
        return -self.zero * self.size

    @property
    def high(self) -> float:
        """What the last code stands for."""
        return (self.top - self.zero) * self.size

    @property
    def dtype(self) -> torch.dtype:
        """Of its codes."""
        return torch.uint8 if self.top == EIGHT_BITS else torch.int32


def scale_over(low: float, high: float, top: int = EIGHT_BITS) -> Scale:
    """One whose codes reach from ``low`` to ``high``; 0 is a code."""
    size = float(np.float32((high - low) / top))
    return Scale(size, round(-low / size), top)


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
    """float32 (n, …) → codes."""
    return torch.clamp(torch.round(values.double() / scale.size) + scale.zero, 0, scale.top).to(scale.dtype)
