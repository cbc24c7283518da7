"""SqueezeNet 1.1: fire modules, no batch norm, no linear layer.

State-dict names are torchvision's. Source: Iandola et al. (2016) and the 1.1
of its authors' repository.
"""

import torch
from torch import Tensor, nn

# Input, squeezed and expanded channels of each fire module; None is a max pool.
LAYERS = (
    None,
    (64, 16, 64),
    (128, 16, 64),
    None,
    (128, 32, 128),
    (256, 32, 128),
    None,
    (256, 48, 192),
    (384, 48, 192),
    (384, 64, 256),
    (512, 64, 256),
)


class Fire(nn.Module):
    """1×1 squeezes; 1×1 and 3×3 expand side by side."""

    def __init__(self, channels_in: int, squeezed: int, expanded: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels_in, squeezed, 1)
        self.expand1x1 = nn.Conv2d(squeezed, expanded, 1)
        self.expand3x3 = nn.Conv2d(squeezed, expanded, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels_in, H, W) → (N, 2 · expanded, H, W)."""
        x = self.relu(self.squeeze(x))
        return torch.cat([self.relu(self.expand1x1(x)), self.relu(self.expand3x3(x))], 1)


class SqueezeNet11(nn.Module):
    """Version 1.1: the pools come early, at 2.4 times fewer operations than 1.0."""

    def __init__(self, num_classes: int = 1000, *, dropout: float = 0.5) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 64, 3, 2), nn.ReLU(inplace=True))
        for layer in LAYERS:
            self.features.append(Fire(*layer) if layer else nn.MaxPool2d(3, 2, ceil_mode=True))
        final = nn.Conv2d(512, num_classes, 1)
        self.classifier = nn.Sequential(nn.Dropout(dropout), final, nn.ReLU(inplace=True))

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W), normalised → logits (N, num_classes), never negative."""
        scores: Tensor = self.classifier(self.features(x))
        return scores.mean((2, 3))


squeezenet1_1 = SqueezeNet11
