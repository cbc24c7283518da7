"""ShuffleNetV2: split the channels, work on one half, shuffle.

State-dict names are torchvision's. Source: Ma et al. (2018).
"""

from functools import partial

import torch
from torch import Tensor, nn

STEM_CHANNELS = 24


def channel_shuffle(x: Tensor) -> Tensor:
    """Interleave the two halves of the channels; (N, C, H, W) stays."""
    halves = torch.unflatten(x, 1, (2, x.shape[1] // 2))
    return halves.transpose(1, 2).flatten(1, 2)


def _pointwise(channels_in: int, channels_out: int) -> tuple[nn.Module, nn.Module, nn.Module]:
    conv = nn.Conv2d(channels_in, channels_out, 1, bias=False)
    return conv, nn.BatchNorm2d(channels_out), nn.ReLU(inplace=True)


def _depthwise(channels: int, stride: int) -> tuple[nn.Module, nn.Module]:
    conv = nn.Conv2d(channels, channels, 3, stride, padding=1, groups=channels, bias=False)
    return conv, nn.BatchNorm2d(channels)


class ShuffleUnit(nn.Module):
    """Stride 1 passes half the channels by; stride 2 works on all, twice."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        half = channels_out // 2
        self.splits = stride == 1
        self.branch1 = nn.Sequential()
        if not self.splits:
            self.branch1.extend((*_depthwise(channels_in, stride), *_pointwise(channels_in, half)))
        entering = half if self.splits else channels_in
        self.branch2 = nn.Sequential(*_pointwise(entering, half), *_depthwise(half, stride), *_pointwise(half, half))

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels_in, H, W) → (N, channels_out, H / stride, W / stride)."""
        if self.splits:
            passed, worked = x.chunk(2, dim=1)
            return channel_shuffle(torch.cat((passed, self.branch2(worked)), 1))
        return channel_shuffle(torch.cat((self.branch1(x), self.branch2(x)), 1))


class ShuffleNetV2(nn.Module):
    """Channels after each of the three stages, and of the last convolution, are given."""

    def __init__(
        self,
        num_classes: int = 1000,
        *,
        channels: tuple[int, int, int, int],
        repeats: tuple[int, int, int] = (4, 8, 4),
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        stem = nn.Conv2d(3, STEM_CHANNELS, 3, 2, padding=1, bias=False)
        self.conv1 = nn.Sequential(stem, nn.BatchNorm2d(STEM_CHANNELS), nn.ReLU(inplace=True))
        self.maxpool = nn.MaxPool2d(3, 2, padding=1)
        self.stage2 = _stage(STEM_CHANNELS, channels[0], repeats[0])
        self.stage3 = _stage(channels[0], channels[1], repeats[1])
        self.stage4 = _stage(channels[1], channels[2], repeats[2])
        self.conv5 = nn.Sequential(*_pointwise(channels[2], channels[3]))
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(channels[3], num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W), normalised → logits (N, num_classes)."""
        x = self.stage4(self.stage3(self.stage2(self.maxpool(self.conv1(x)))))
        logits: Tensor = self.fc(self.dropout(self.conv5(x).mean((2, 3))))
        return logits


def _stage(channels_in: int, channels_out: int, repeats: int) -> nn.Sequential:
    rest = (ShuffleUnit(channels_out, channels_out, 1) for _ in range(repeats - 1))
    return nn.Sequential(ShuffleUnit(channels_in, channels_out, 2), *rest)


shufflenet_v2_x0_5 = partial(ShuffleNetV2, channels=(48, 96, 192, 1024))
shufflenet_v2_x1_0 = partial(ShuffleNetV2, channels=(116, 232, 464, 1024))
shufflenet_v2_x1_5 = partial(ShuffleNetV2, channels=(176, 352, 704, 1024))
shufflenet_v2_x2_0 = partial(ShuffleNetV2, channels=(244, 488, 976, 2048))
