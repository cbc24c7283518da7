"""MobileNetV3 small and large: squeeze-and-excitation, hard-swish.

State-dict names are torchvision's; batch norms have an epsilon of 1e-3 and
squeeze to a quarter of the expanded channels.

Source: Howard et al., "Searching for MobileNetV3" (2019), tables 1 and 2.
"""

from functools import partial
from typing import NamedTuple

from torch import Tensor, nn

from model_zoo.architectures.channels import round_channels

BN_EPS = 1e-3
STEM_CHANNELS = 16


class Block(NamedTuple):
    """One line of the paper's tables."""

    kernel: int
    expanded: int
    channels: int
    squeeze: bool
    hard_swish: bool
    stride: int


LARGE = tuple(
    map(
        Block._make,
        (
            (3, 16, 16, False, False, 1),
            (3, 64, 24, False, False, 2),
            (3, 72, 24, False, False, 1),
            (5, 72, 40, True, False, 2),
            (5, 120, 40, True, False, 1),
            (5, 120, 40, True, False, 1),
            (3, 240, 80, False, True, 2),
            (3, 200, 80, False, True, 1),
            (3, 184, 80, False, True, 1),
            (3, 184, 80, False, True, 1),
            (3, 480, 112, True, True, 1),
            (3, 672, 112, True, True, 1),
            (5, 672, 160, True, True, 2),
            (5, 960, 160, True, True, 1),
            (5, 960, 160, True, True, 1),
        ),
    )
)
SMALL = tuple(
    map(
        Block._make,
        (
            (3, 16, 16, True, False, 2),
            (3, 72, 24, False, False, 2),
            (3, 88, 24, False, False, 1),
            (5, 96, 40, True, True, 2),
            (5, 240, 40, True, True, 1),
            (5, 240, 40, True, True, 1),
            (5, 120, 48, True, True, 1),
            (5, 144, 48, True, True, 1),
            (5, 288, 96, True, True, 2),
            (5, 576, 96, True, True, 1),
            (5, 576, 96, True, True, 1),
        ),
    )
)


def conv_bn(
    channels_in: int, channels_out: int, kernel: int, stride: int = 1, groups: int = 1, act: nn.Module | None = None
) -> nn.Sequential:
    """Convolution, batch norm and perhaps an activation, named "0", "1", "2"."""
    conv = nn.Conv2d(channels_in, channels_out, kernel, stride, padding=kernel // 2, groups=groups, bias=False)
    layers = nn.Sequential(conv, nn.BatchNorm2d(channels_out, eps=BN_EPS, momentum=0.01))
    return layers.append(act) if act is not None else layers


class SqueezeExcite(nn.Module):
    """Weighs each channel; the gate is a hard sigmoid."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        squeezed = round_channels(channels / 4)
        self.fc1 = nn.Conv2d(channels, squeezed, 1)
        self.activation = nn.ReLU(inplace=True)
        self.fc2 = nn.Conv2d(squeezed, channels, 1)
        self.scale_activation = nn.Hardsigmoid()

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → the same shape."""
        squeezed = self.activation(self.fc1(x.mean((2, 3), keepdim=True)))
        scale: Tensor = self.scale_activation(self.fc2(squeezed))
        return x * scale


class InvertedResidual(nn.Module):
    """Expand (where wider), depthwise, squeeze (where asked), project."""

    branch_end = "block"

    def __init__(self, channels_in: int, line: Block) -> None:
        super().__init__()
        wide = line.expanded
        act = nn.Hardswish if line.hard_swish else nn.ReLU
        self.has_skip = line.stride == 1 and channels_in == line.channels
        self.block = nn.Sequential()
        if wide != channels_in:
            self.block.append(conv_bn(channels_in, wide, 1, act=act(inplace=True)))
        self.block.append(conv_bn(wide, wide, line.kernel, line.stride, groups=wide, act=act(inplace=True)))
        if line.squeeze:
            self.block.append(SqueezeExcite(wide))
        self.block.append(conv_bn(wide, line.channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels_in, H, W) → (N, channels_out, H / stride, W / stride)."""
        y: Tensor = self.block(x)
        return x + y if self.has_skip else y


class MobileNetV3(nn.Module):
    """A stem, the blocks of one table, and a head of two linear layers."""

    def __init__(self, num_classes: int = 1000, *, blocks: tuple[Block, ...], head: int, dropout: float = 0.2) -> None:
        super().__init__()
        channels = STEM_CHANNELS
        self.features = nn.Sequential(conv_bn(3, channels, 3, 2, act=nn.Hardswish(inplace=True)))
        for line in blocks:
            self.features.append(InvertedResidual(channels, line))
            channels = line.channels
        self.features.append(conv_bn(channels, 6 * channels, 1, act=nn.Hardswish(inplace=True)))
        self.classifier = nn.Sequential(
            nn.Linear(6 * channels, head), nn.Hardswish(inplace=True), nn.Dropout(dropout), nn.Linear(head, num_classes)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W), normalised → logits (N, num_classes)."""
        logits: Tensor = self.classifier(self.features(x).mean((2, 3)))
        return logits


mobilenet_v3_small = partial(MobileNetV3, blocks=SMALL, head=1024)
mobilenet_v3_large = partial(MobileNetV3, blocks=LARGE, head=1280)
