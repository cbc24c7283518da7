"""Small residual nets for 28×28 grey pictures (Fashion-MNIST and its kin); nothing that can't be quantised.

``grey28`` is made of plain 3×3 convolutions: 98,466 parameters and 16.1 M multiply-adds at ten
classes. The others are quicker to train: their first convolution is of 6×6 and halves the picture, and
they pool by place. ``grey28_wide`` has 94,258 and 6.7 M, ``grey28_small``, with separable
convolutions, 24,666 and 1.8 M.
"""

from functools import partial

from torch import Tensor, nn
from torch.nn import functional


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


# Kind, channels and stride of each block.
Lines = tuple[tuple[type[Residual] | type[Separable], int, int], ...]


class PlacePooling(nn.Conv2d):
    """Each channel's mean over all places, each place weighted by what it is worth to that channel.

    Pictures of one kind in the middle have sleeves and soles in the same places; a plain mean forgets
    which. A depthwise convolution as large as the map (Chen et al., "MobileFaceNets", 2018, section 3.1).
    """

    keeps_initial_weights = True  # those of the mean

    def __init__(self, channels: int, height: int, width: int) -> None:
        super().__init__(channels, channels, (height, width), groups=channels, bias=False)
        nn.init.constant_(self.weight, 1 / (height * width))

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) → (N, channels); for another H or W the weights are interpolated."""
        if x.shape[2:] == self.weight.shape[2:]:
            return super().forward(x).flatten(1)
        weight = functional.interpolate(self.weight, x.shape[2:], mode="bilinear")
        shrink = self.weight[0].numel() / weight[0].numel()
        return functional.conv2d(x, weight * shrink, groups=self.groups).flatten(1)


class Grey28(nn.Module):
    """One channel in; 28 px to 14 to 7.

    Args:
        stem: channels, kernel and stride of the first convolution.
        lines: of the blocks.
        by_place: pool by ``PlacePooling`` instead of the plain mean.
        mirrored: outside training, answer from the mean of the picture's features and of its mirror image's,
            at twice the cost.
    """

    def __init__(
        self,
        num_classes: int = 10,
        *,
        stem: tuple[int, int, int],
        lines: Lines,
        by_place: bool = False,
        mirrored: bool = False,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        channels, kernel, stride = stem
        conv = nn.Conv2d(1, channels, kernel, stride, padding=(kernel - stride + 1) // 2, bias=False)
        self.stem = nn.Sequential(conv, nn.BatchNorm2d(channels), nn.ReLU())
        self.blocks = nn.Sequential()
        for block, channels_out, stride in lines:
            self.blocks.append(block(channels, channels_out, stride))
            channels = channels_out
        self.place_pooling = PlacePooling(channels, 7, 7) if by_place else None
        self.mirrored = mirrored
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(channels, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 1, H, W), normalised → logits (N, num_classes)."""
        if self.mirrored and not self.training:
            features = (self.features(x.flip(3)) + self.features(x)) / 2
        else:
            features = self.features(x)
        logits: Tensor = self.classifier(self.dropout(features))
        return logits

    def features(self, x: Tensor) -> Tensor:
        """(N, 1, H, W) → (N, channels)."""
        places: Tensor = self.blocks(self.stem(x))
        return places.mean((2, 3)) if self.place_pooling is None else self.place_pooling(places)


def _skip(channels_in: int, channels_out: int, stride: int) -> nn.Sequential:
    if stride == 1 and channels_in == channels_out:
        return nn.Sequential()
    conv = nn.Conv2d(channels_in, channels_out, 1, stride, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(channels_out))


grey28 = partial(Grey28, stem=(24, 3, 1), lines=((Residual, 24, 1), (Residual, 40, 2), (Residual, 64, 2)))
grey28_wide = partial(
    Grey28, stem=(28, 6, 2), lines=((Residual, 28, 1), (Residual, 48, 2), (Residual, 48, 1)), by_place=True
)
grey28_small = partial(
    Grey28,
    stem=(16, 6, 2),
    lines=((Residual, 16, 1), (Separable, 48, 2), (Separable, 48, 1), (Separable, 48, 1)),
    by_place=True,
)
