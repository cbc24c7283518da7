"""One number for a set of weights: equal for equal tensors under equal names."""

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor


def weights_digest(state: Mapping[str, Tensor]) -> str:
    """sha256 of names, types, shapes and bytes, in hexadecimal."""
    digest = hashlib.sha256()
    for name, tensor in state.items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
