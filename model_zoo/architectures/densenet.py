"""DenseNet-121: every layer of a block sees all the layers before it.

State-dict names are torchvision's of today (``norm1``); ``key_names.py`` knows
the older ones (``norm.1``). Source: Huang et al. (2016).
"""

from functools import partial

import torch
from torch import Tensor, nn

BOTTLENECK = 4


class DenseLayer(nn.Module):
    """Norm, ReLU, 1×1, norm, ReLU, 3×3: ``growth`` new channels."""

    def __init__(self, channels_in: int, growth: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(channels_in)
        self.relu1 = nn.ReLU(inplace=True)
        self.conv1 = nn.Conv2d(channels_in, BOTTLENECK * growth, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(BOTTLENECK * growth)
        self.relu2 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(BOTTLENECK * growth, growth, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → the new channels alone, (N, growth, H, W)."""
        narrow = self.conv1(self.relu1(self.norm1(x)))
        new: Tensor = self.conv2(self.relu2(self.norm2(narrow)))
        return new


class DenseBlock(nn.Sequential):
    """Layers whose outputs are joined to their inputs, one after another."""

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) → (N, C + layers · growth, H, W)."""
        for layer in self:
            input = torch.cat([input, layer(input)], 1)
        return input


class DenseNet(nn.Module):
    """A stem, dense blocks with halving transitions between, one linear layer."""

    def __init__(
        self, num_classes: int = 1000, *, depths: tuple[int, ...], growth: int, stem: int, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.features = nn.Sequential()
        self.features.add_module("conv0", nn.Conv2d(3, stem, 7, 2, padding=3, bias=False))
        self.features.add_module("norm0", nn.BatchNorm2d(stem))
        self.features.add_module("relu0", nn.ReLU(inplace=True))
        self.features.add_module("pool0", nn.MaxPool2d(3, 2, padding=1))
        channels = stem
        for number, depth in enumerate(depths, start=1):
            if number > 1:
                self.features.add_module(f"transition{number - 1}", _transition(channels))
                channels //= 2
            block = DenseBlock()
            for i in range(depth):
                block.add_module(f"denselayer{i + 1}", DenseLayer(channels + i * growth, growth))
            self.features.add_module(f"denseblock{number}", block)
            channels += depth * growth
        self.features.add_module("norm5", nn.BatchNorm2d(channels))
        self.relu = nn.ReLU(inplace=True)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(channels, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W), normalised → logits (N, num_classes)."""
        features = self.relu(self.features(x)).mean((2, 3))
        logits: Tensor = self.classifier(self.dropout(features))
        return logits


def _transition(channels: int) -> nn.Sequential:
    """Half the channels, half the sides."""
    layers = nn.Sequential()
    layers.add_module("norm", nn.BatchNorm2d(channels))
    layers.add_module("relu", nn.ReLU(inplace=True))
    layers.add_module("conv", nn.Conv2d(channels, channels // 2, 1, bias=False))
    layers.add_module("pool", nn.AvgPool2d(2))
    return layers


densenet121 = partial(DenseNet, depths=(6, 12, 24, 16), growth=32, stem=64)
