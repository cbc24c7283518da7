"""Logits → scores → the best classes, on the device: only these few leave it.

Equal scores keep the lower index first, as ``model_zoo.top_k`` does, which no device's own ``topk`` promises: the
score's bits, in an order that integers have, and the index make one 64-bit number, and no two of those are equal.
"""

import numpy as np
import torch
from torch import Tensor

from model_zoo.spec import Activation
from server.backends import Ranked

MOST = 16  # classes of a picture; whoever wants more gets all scores
_SMALLEST, _MAGNITUDE, _LOW = -(2**31), 0x7FFFFFFF, 0xFFFFFFFF


def rank(logits: Tensor, activation: Activation, count: int) -> Tensor:
    """The best of each row.

    Args:
        logits: (N, C) float32. NaN ranks below everything.
        count: at most C.
    Returns:
        (N, 2 · count) int32: indices, best first, then the bits of their float32 scores.
    """
    scores = _activated(logits, activation)
    bits = (scores + 0.0).view(torch.int32)  # + 0.0: -0.0 is no less than 0.0
    rising = torch.where(bits < 0, bits ^ _MAGNITUDE, bits)
    rising = torch.where(scores.isnan(), _SMALLEST, rising)
    lower_first = _LOW - torch.arange(scores.shape[1], device=scores.device)
    best = ((rising.long() << 32) | lower_first).topk(count, dim=1).values
    indices = _LOW - (best & _LOW)
    return torch.cat([indices.int(), scores.gather(1, indices).view(torch.int32)], dim=1)


def unpacked(ranked: Tensor) -> Ranked:
    """What ``rank`` gave, on the host."""
    told = ranked.numpy()
    count = told.shape[1] // 2
    return Ranked(told[:, :count].astype(np.int64), told[:, count:].copy().view(np.float32))


def _activated(logits: Tensor, activation: Activation) -> Tensor:
    if activation == "softmax":
        return logits.softmax(1)
    return logits.sigmoid() if activation == "sigmoid" else logits
