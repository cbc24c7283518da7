"""Bundles to learn from: one that gives the means of three colours, and nothing to wait for."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from model_zoo.bundle import Bundle
from model_zoo.store import Store
from tests.model_zoo.drafts import draft

COLOURS = ("red", "green", "blue")


def write_means(store: Path, **changes: Any) -> Bundle:  # noqa: ANN401 - any field of BundleDraft
    """A bundle without float weights: its logits are the means of red, green and blue, 0 to 255."""
    return Store(store).write(draft(**changes))


def bright_pictures(n: int = 5, side: int = 8, seed: int = 0) -> torch.Tensor:
    """Float (n, 3, side, side) in 0 to 1, on whole levels of 255."""
    levels: NDArray[np.int64] = np.random.default_rng(seed).integers(0, 256, (n, 3, side, side))
    return torch.from_numpy(levels).float() / 255
