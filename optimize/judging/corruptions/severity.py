"""The paper's two sets of numbers, and which of them a picture takes."""

from collections.abc import Sequence
from typing import TypeVar

from torch import Tensor

T = TypeVar("T")

# Sides up to this many px take the numbers for small pictures.
SMALL = 64


def is_small(pictures: Tensor) -> bool:
    """(N, C, H, W): of the kind that the numbers for 32 px were made for."""
    return max(pictures.shape[2:]) <= SMALL


def strength(pictures: Tensor, severity: int, *, photo: Sequence[T], small: Sequence[T]) -> T:
    """The number for this size and severity, 1 to 5."""
    return (small if is_small(pictures) else photo)[severity - 1]


def size_ratio(pictures: Tensor) -> float:
    """How many times as large pictures are as those that their set of numbers was made for."""
    return max(pictures.shape[2:]) / (32 if is_small(pictures) else 224)
