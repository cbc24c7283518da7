"""MobileNetV2: inverted residuals with linear bottlenecks, ReLU6.

State-dict names are torchvision's. Source: Sandler et al. (2018).
"""

from functools import partial

from torch import Tensor, nn

from model_zoo.architectures.channels import round_channels

Stage = tuple[int, int, int, int]

# One line per stage: expansion, channels, repeats, stride.
STAGES: tuple[Stage, ...] = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


def conv_bn_relu6(channels_in: int, channels_out: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Convolution, batch norm, ReLU6, named "0", "1", "2"."""
    conv = nn.Conv2d(channels_in, channels_out, kernel, stride, padding=kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(channels_out), nn.ReLU6(inplace=True))


class InvertedResidual(nn.Module):
    """Expand, depthwise, project without activation."""

    branch_end = "conv"

    def __init__(self, channels_in: int, channels_out: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = channels_in * expansion
        self.has_skip = stride == 1 and channels_in == channels_out
        self.conv = nn.Sequential()
        if expansion != 1:
            self.conv.append(conv_bn_relu6(channels_in, wide, 1))
        self.conv.append(conv_bn_relu6(wide, wide, 3, stride, groups=wide))
        self.conv.append(nn.Conv2d(wide, channels_out, 1, bias=False))
        self.conv.append(nn.BatchNorm2d(channels_out))

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels_in, H, W) → (N, channels_out, H / stride, W / stride)."""
        y: Tensor = self.conv(x)
        return x + y if self.has_skip else y


class MobileNetV2(nn.Module):
    """The paper's network at a given width."""

    def __init__(
        self, num_classes: int = 1000, *, width: float, stages: tuple[Stage, ...] = STAGES, dropout: float = 0.2
    ) -> None:
        super().__init__()
        channels = round_channels(32 * width)
        last = round_channels(1280 * max(1.0, width))
        self.features = nn.Sequential(conv_bn_relu6(3, channels, 3, 2))
        for expansion, stage_channels, repeats, stride in stages:
            channels_out = round_channels(stage_channels * width)
            for i in range(repeats):
                self.features.append(InvertedResidual(channels, channels_out, stride if i == 0 else 1, expansion))
                channels = channels_out
        self.features.append(conv_bn_relu6(channels, last, 1))
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(last, num_classes))

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W), normalised → logits (N, num_classes)."""
        logits: Tensor = self.classifier(self.features(x).mean((2, 3)))
        return logits


mobilenet_v2 = partial(MobileNetV2, width=1.0)
