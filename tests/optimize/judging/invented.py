"""Predictions with known properties, for the tests of judging and of the report."""

import numpy as np
from numpy.typing import NDArray

from optimize.judging.predictions import Predictions


def predictions(n: int = 200, classes: int = 5, *, skill: float = 2.0, seed: int = 0) -> Predictions:
    """Gaussian logits, the label's raised by ``skill``: about as good as a modest network."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, classes, n)
    logits = generator.normal(size=(n, classes))
    logits[np.arange(n), labels] += skill
    return named(logits, labels)


def calibrated(n: int, classes: int, *, sharpness: float, seed: int = 0) -> Predictions:
    """Labels drawn from the very probabilities that the logits say."""
    generator = np.random.default_rng(seed)
    logits = sharpness * generator.normal(size=(n, classes))
    powers = np.exp(logits)
    shares = powers.cumsum(axis=1) / powers.sum(axis=1, keepdims=True)
    labels = (generator.random((n, 1)) > shares).sum(axis=1)
    return named(logits, np.minimum(labels, classes - 1))


def named(logits: NDArray[np.floating], labels: NDArray[np.int64]) -> Predictions:
    """With classes "class 0" … and pictures "0.jpg" …"""
    names = tuple(f"class {place}" for place in range(logits.shape[1]))
    return Predictions(
        logits.astype(np.float32),
        np.asarray(labels, np.int64),
        names,
        tuple(f"{place}.jpg" for place in range(len(labels))),
    )
