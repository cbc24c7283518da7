"""ResNet-18, 34, 50 and SE-ResNet-50.

State-dict names are torchvision's, and timm's for ``seresnet50``. The stride of
a bottleneck sits on its 3×3 convolution (the variant known as v1.5).

Source: He et al., "Deep Residual Learning" (2015); Hu et al.,
"Squeeze-and-Excitation Networks" (2017).
"""

from functools import partial

from torch import Tensor, nn

STAGE_CHANNELS = (64, 128, 256, 512)


class SqueezeExcite(nn.Module):
    """Weighs each channel by a small network over the channels' means."""

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, channels // reduction, 1)
        self.act = nn.ReLU(inplace=True)
        self.fc2 = nn.Conv2d(channels // reduction, channels, 1)
        self.gate = nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → the same shape."""
        scale: Tensor = self.gate(self.fc2(self.act(self.fc1(x.mean((2, 3), keepdim=True)))))
        return x * scale


class BasicBlock(nn.Module):
    """Two 3×3 convolutions and a skip."""

    expansion = 1
    branch_end = "se"

    def __init__(self, channels_in: int, channels: int, stride: int, squeeze: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.se = SqueezeExcite(channels) if squeeze else nn.Identity()
        self.downsample = _downsample(channels_in, channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels_in, H, W) → (N, channels, H / stride, W / stride)."""
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.se(self.bn2(self.conv2(y)))
        out: Tensor = self.relu(y + self.downsample(x))
        return out


class Bottleneck(nn.Module):
    """1×1 narrows, 3×3 works, 1×1 widens fourfold, and a skip."""

    expansion = 4
    branch_end = "se"

    def __init__(self, channels_in: int, channels: int, stride: int, squeeze: bool) -> None:
        super().__init__()
        wide = channels * self.expansion
        self.conv1 = nn.Conv2d(channels_in, channels, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv3 = nn.Conv2d(channels, wide, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(wide)
        self.relu = nn.ReLU(inplace=True)
        self.se = SqueezeExcite(wide) if squeeze else nn.Identity()
        self.downsample = _downsample(channels_in, wide, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels_in, H, W) → (N, 4 · channels, H / stride, W / stride)."""
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        y = self.se(self.bn3(self.conv3(y)))
        out: Tensor = self.relu(y + self.downsample(x))
        return out


def _downsample(channels_in: int, channels_out: int, stride: int) -> nn.Module:
    if stride == 1 and channels_in == channels_out:
        return nn.Identity()
    conv = nn.Conv2d(channels_in, channels_out, 1, stride, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(channels_out))


def _stage(
    block: type[BasicBlock] | type[Bottleneck], depth: int, channels_in: int, channels: int, stride: int, squeeze: bool
) -> nn.Sequential:
    rest = (block(channels * block.expansion, channels, 1, squeeze) for _ in range(depth - 1))
    return nn.Sequential(block(channels_in, channels, stride, squeeze), *rest)


class ResNet(nn.Module):
    """A stem, four stages of blocks, one linear layer."""

    def __init__(
        self,
        num_classes: int = 1000,
        *,
        block: type[BasicBlock] | type[Bottleneck],
        depths: tuple[int, int, int, int],
        squeeze: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, padding=1)
        wide = tuple(channels * block.expansion for channels in STAGE_CHANNELS)
        self.layer1 = _stage(block, depths[0], 64, STAGE_CHANNELS[0], 1, squeeze)
        self.layer2 = _stage(block, depths[1], wide[0], STAGE_CHANNELS[1], 2, squeeze)
        self.layer3 = _stage(block, depths[2], wide[1], STAGE_CHANNELS[2], 2, squeeze)
        self.layer4 = _stage(block, depths[3], wide[2], STAGE_CHANNELS[3], 2, squeeze)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(wide[3], num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W), normalised → logits (N, num_classes)."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        logits: Tensor = self.fc(self.dropout(x.mean((2, 3))))
        return logits


resnet18 = partial(ResNet, block=BasicBlock, depths=(2, 2, 2, 2))
resnet34 = partial(ResNet, block=BasicBlock, depths=(3, 4, 6, 3))
resnet50 = partial(ResNet, block=Bottleneck, depths=(3, 4, 6, 3))
seresnet50 = partial(ResNet, block=Bottleneck, depths=(3, 4, 6, 3), squeeze=True)
