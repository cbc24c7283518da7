"""EfficientNet-Lite 0–4: inverted residuals, ReLU6, no squeeze-and-excitation.

State-dict names are timm's (``tf_efficientnet_lite0`` …). The weights were
trained in TensorFlow, hence SAME padding (see ``same_padding.py``) and a batch
norm epsilon of 1e-3.

Source: Tan & Le, "EfficientNet" (2019), and the EfficientNet-Lite release of
2020: stem, head and the first and last stages keep the depth of Lite0; stem and
head keep its width too.
"""

import math
from functools import partial

from torch import Tensor, nn

from model_zoo.architectures.channels import round_channels
from model_zoo.architectures.same_padding import SameConv2d

BN_EPS = 1e-3
STEM_CHANNELS = 32
HEAD_CHANNELS = 1280

# One line per stage of Lite0: repeats, kernel, stride, expansion, channels.
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


class DepthwiseSeparable(nn.Module):
    """Depthwise, then pointwise: the first stage, which expands nothing."""

    branch_end = "bn2"

    def __init__(self, channels_in: int, channels_out: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.has_skip = stride == 1 and channels_in == channels_out
        self.conv_dw = SameConv2d(channels_in, channels_in, kernel, stride, groups=channels_in, bias=False)
        self.bn1 = nn.BatchNorm2d(channels_in, eps=BN_EPS)
        self.conv_pw = nn.Conv2d(channels_in, channels_out, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels_out, eps=BN_EPS)
        self.act = nn.ReLU6()

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels_in, H, W) → (N, channels_out, ⌈H / stride⌉, ⌈W / stride⌉)."""
        y: Tensor = self.act(self.bn1(self.conv_dw(x)))
        y = self.bn2(self.conv_pw(y))
        return x + y if self.has_skip else y


class InvertedResidual(nn.Module):
    """Expand, depthwise, project; a skip where the shape stays."""

    branch_end = "bn3"

    def __init__(self, channels_in: int, channels_out: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = channels_in * expansion
        self.has_skip = stride == 1 and channels_in == channels_out
        self.conv_pw = nn.Conv2d(channels_in, wide, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(wide, eps=BN_EPS)
        self.conv_dw = SameConv2d(wide, wide, kernel, stride, groups=wide, bias=False)
        self.bn2 = nn.BatchNorm2d(wide, eps=BN_EPS)
        self.conv_pwl = nn.Conv2d(wide, channels_out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(channels_out, eps=BN_EPS)
        self.act = nn.ReLU6()

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels_in, H, W) → (N, channels_out, ⌈H / stride⌉, ⌈W / stride⌉)."""
        y: Tensor = self.act(self.bn1(self.conv_pw(x)))
        y = self.act(self.bn2(self.conv_dw(y)))
        y = self.bn3(self.conv_pwl(y))
        return x + y if self.has_skip else y


class EfficientNetLite(nn.Module):
    """One of the five, or one cut short.

    ``width`` and ``depth`` scale the middle of Lite0; ``kept``, where given, says instead
    how many blocks of each stage there are, stages at the end left out.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        *,
        width: float = 1.0,
        depth: float = 1.0,
        kept: tuple[int, ...] | None = None,
        head: int = HEAD_CHANNELS,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        self.conv_stem = SameConv2d(3, STEM_CHANNELS, 3, 2, bias=False)
        self.bn1 = nn.BatchNorm2d(STEM_CHANNELS, eps=BN_EPS)
        self.blocks = nn.Sequential()
        channels = STEM_CHANNELS
        counts = kept or _depths(depth)
        for repeats, (_, kernel, stride, expansion, stage_channels) in zip(counts, STAGES, strict=False):
            channels_out = round_channels(stage_channels * width)
            stage = nn.Sequential()
            for i in range(repeats):
                step = stride if i == 0 else 1
                stage.append(_block(channels, channels_out, kernel, step, expansion))
                channels = channels_out
            self.blocks.append(stage)
        self.conv_head = nn.Conv2d(channels, head, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(head, eps=BN_EPS)
        self.act = nn.ReLU6()
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(head, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W), normalised → logits (N, num_classes)."""
        x = self.act(self.bn1(self.conv_stem(x)))
        x = self.blocks(x)
        x = self.act(self.bn2(self.conv_head(x)))
        logits: Tensor = self.classifier(self.dropout(x.mean((2, 3))))
        return logits


def _depths(depth: float) -> tuple[int, ...]:
    """Blocks of each stage; the first and the last stage are never scaled."""
    first, *middle, last = (repeats for repeats, *_ in STAGES)
    return (first, *(math.ceil(repeats * depth) for repeats in middle), last)


def _block(channels_in: int, channels_out: int, kernel: int, stride: int, expansion: int) -> nn.Module:
    if expansion == 1:
        return DepthwiseSeparable(channels_in, channels_out, kernel, stride)
    return InvertedResidual(channels_in, channels_out, kernel, stride, expansion)


efficientnet_lite0 = partial(EfficientNetLite, width=1.0, depth=1.0, dropout=0.2)
efficientnet_lite1 = partial(EfficientNetLite, width=1.0, depth=1.1, dropout=0.2)
efficientnet_lite2 = partial(EfficientNetLite, width=1.1, depth=1.2, dropout=0.3)
efficientnet_lite3 = partial(EfficientNetLite, width=1.2, depth=1.4, dropout=0.3)
efficientnet_lite4 = partial(EfficientNetLite, width=1.4, depth=1.8, dropout=0.3)

# Lite0 without its last two stages, which hold three quarters of its weights; for small inputs.
efficientnet_lite0_short = partial(EfficientNetLite, kept=(1, 2, 2, 3, 3), head=640)
