"""Pictures in 0 to 1 become what the network takes; the exported graph does the same to bytes."""

import torch
from torch import Tensor

from model_zoo.spec import InputSpec


class Normalise:
    """(x · 255 − mean) / std, channel by channel, in one pass over the pictures."""

    def __init__(self, spec: InputSpec, device: torch.device, *, channels_last: bool) -> None:
        mean = torch.tensor(spec.graph_mean, dtype=torch.float64)
        std = torch.tensor(spec.graph_std, dtype=torch.float64)
        self._scale = (255 / std).float().view(1, -1, 1, 1).to(device)
        self._shift = (-mean / std).float().view(1, -1, 1, 1).to(device)
        self._format = torch.channels_last if channels_last else torch.contiguous_format

    def __call__(self, pictures: Tensor) -> Tensor:
        """Float (N, C, H, W) in 0 to 1 → normalised, of the same shape."""
        return torch.addcmul(self._shift, pictures.contiguous(memory_format=self._format), self._scale)

    def of_bytes(self, pictures: Tensor) -> Tensor:
        """uint8 (N, C, H, W) → normalised float."""
        return self(pictures.float().div_(255))
