"""Random numbers that depend on where they are drawn, not on what was drawn before.

Each place that draws names itself: ``generator(seed, "augment", epoch, step)``. So
a run that was killed goes on with the very numbers it would have had, with no
random state in a checkpoint, and adding a draw in one place changes none elsewhere.
"""

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def stream_seed(seed: int, *place: str | int) -> int:
    """A 63-bit seed of its own for each ``place`` under ``seed``."""
    text = "\x1f".join([str(seed), *map(str, place)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def numpy_generator(seed: int, *place: str | int) -> np.random.Generator:
    """NumPy's generator for one place."""
    return np.random.default_rng(stream_seed(seed, *place))


def generator(seed: int, *place: str | int) -> "torch.Generator":
    """Torch's generator for one place, on the CPU: what is drawn is the same on every device."""
    import torch

    return torch.Generator().manual_seed(stream_seed(seed, *place))
