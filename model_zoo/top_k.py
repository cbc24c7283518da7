"""Logits → scores → the k best."""

import numpy as np
from numpy.typing import NDArray

from model_zoo.spec import Activation

SORTED_WHOLE = 256  # below this many classes a sort costs less than finding the k best first


def activate(logits: NDArray[np.float32], activation: Activation) -> NDArray[np.float32]:
    """Apply what the graph left out; neither softmax nor sigmoid overflows.

    Args:
        logits: (N, C).
    Returns:
        (N, C) float32; softmax rows sum to 1, sigmoid entries lie in 0 to 1.
    """
    if activation == "none":
        return logits.astype(np.float32, copy=False)
    if activation == "sigmoid":
        small = np.exp(-np.abs(logits))
        scores: NDArray[np.float32] = np.where(logits >= 0, np.float32(1), small) / (1 + small)
    else:
        powers: NDArray[np.float32] = np.exp(logits - np.maximum.reduce(logits, axis=1, keepdims=True))
        sums: NDArray[np.float32] = np.add.reduce(powers, axis=1, keepdims=True)
        scores = powers / sums
    return scores.astype(np.float32, copy=False)


def top_k(scores: NDArray[np.float32], k: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The k best of one row, best first; equal scores keep the lower index first.

    Args:
        scores: (C,). NaN ranks below everything.
        k: 0 or more; more than C means C.
    Returns:
        Class indices and their scores, both (min(k, C),).
    Raises:
        ValueError: k is negative.
    """
    if k < 0:
        raise ValueError(f"top_k is {k}; it must be 0 or more")
    k = min(k, scores.shape[0])
    if k == 0:
        return np.empty(0, np.int64), np.empty(0, np.float32)
    downwards = -scores  # sorts best first; NaN goes last
    if scores.shape[0] > SORTED_WHOLE:
        worst = np.partition(downwards, k - 1)[k - 1]
        candidates = np.flatnonzero(downwards <= worst)
        if candidates.shape[0] >= k:  # fewer only where NaN are among the k best
            indices = candidates[downwards[candidates].argsort(kind="stable")[:k]]
            return indices, scores[indices]
    indices = downwards.argsort(kind="stable")[:k]
    return indices, scores[indices]
