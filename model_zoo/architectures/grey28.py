"""Small residual nets for 28×28 grey pictures (Fashion-MNIST and its kin); nothing that can't be quantised.

``grey28`` is made of plain 3×3 convolutions: 98,466 parameters and 16.1 M multiply-adds at ten
classes. The others have separable ones, which make more of few weights: ``grey28_small`` 22,138
and 3.5 M, ``grey28_deep`` 99,242 and 10.8 M.
"""

from functools import partial

from torch import Tensor, nn

# Channels and stride of each block.
Lines = tuple[tuple[int, int], ...]


class Residual(nn.Module):
    """Two 3×3 convolutions; the skip is a 1×1 where the shape changes."""

    branch_end = "bn2"

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels_out)
        self.act = nn.ReLU()
        self.skip = _skip(channels_in, channels_out, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels_in, H, W) → (N, channels_out, H / stride, W / stride)."""
        y = self.act(self.bn1(self.conv1(x)))
        out: Tensor = self.act(self.bn2(self.conv2(y)) + self.skip(x))
        return out


class Separable(nn.Module):
    """Two depthwise separable convolutions, 3×3 and 1×1 with nothing but a norm between, and a skip.

    Source: Chollet, "Xception" (2017), section 4.7, for leaving the activation out between the two.
    """

    branch_end = "bn4"

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.conv_dw1 = nn.Conv2d(channels_in, channels_in, 3, stride, padding=1, groups=channels_in, bias=False)
        self.bn1 = nn.BatchNorm2d(channels_in)
        self.conv_pw1 = nn.Conv2d(channels_in, channels_out, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels_out)
        self.conv_dw2 = nn.Conv2d(channels_out, channels_out, 3, padding=1, groups=channels_out, bias=False)
        self.bn3 = nn.BatchNorm2d(channels_out)
        self.conv_pw2 = nn.Conv2d(channels_out, channels_out, 1, bias=False)
        self.bn4 = nn.BatchNorm2d(channels_out)
        self.act = nn.ReLU()
        self.skip = _skip(channels_in, channels_out, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels_in, H, W) → (N, channels_out, H / stride, W / stride)."""
        y = self.act(self.bn2(self.conv_pw1(self.bn1(self.conv_dw1(x)))))
        y = self.bn4(self.conv_pw2(self.bn3(self.conv_dw2(y))))
        out: Tensor = self.act(y + self.skip(x))
        return out


class Grey28(nn.Module):
    """One channel in; 28 px to 14 to 7."""

    def __init__(
        self,
        num_classes: int = 10,
        *,
        block: type[Residual] | type[Separable],
        lines: Lines,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        channels = lines[0][0]
        self.stem = nn.Sequential(nn.Conv2d(1, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels), nn.ReLU())
        self.blocks = nn.Sequential()
        for channels_out, stride in lines:
            self.blocks.append(block(channels, channels_out, stride))
            channels = channels_out
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(channels, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 1, H, W), normalised → logits (N, num_classes)."""
        logits: Tensor = self.classifier(self.dropout(self.blocks(self.stem(x)).mean((2, 3))))
        return logits


def _skip(channels_in: int, channels_out: int, stride: int) -> nn.Sequential:
    if stride == 1 and channels_in == channels_out:
        return nn.Sequential()
    conv = nn.Conv2d(channels_in, channels_out, 1, stride, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(channels_out))


grey28 = partial(Grey28, block=Residual, lines=((24, 1), (40, 2), (64, 2)))
grey28_small = partial(Grey28, block=Separable, lines=((24, 1), (40, 2), (40, 1), (64, 2)))
grey28_deep = partial(Grey28, block=Separable, lines=((32, 1), (64, 2), (64, 1), (64, 1), (96, 2), (96, 1), (96, 1)))
