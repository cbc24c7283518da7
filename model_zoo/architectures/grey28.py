"""A small residual net for 28×28 grey pictures (Fashion-MNIST and its kin).

Three plain residual blocks, 98,466 parameters and 16.1 M multiply-adds at ten
classes; nothing that can't be quantised.
"""

from torch import Tensor, nn

STAGES = ((24, 1), (40, 2), (64, 2))


class Residual(nn.Module):
    """Two 3×3 convolutions; the skip is a 1×1 where the shape changes."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels_out)
        self.act = nn.ReLU()
        self.skip = nn.Sequential()
        if stride != 1 or channels_in != channels_out:
            self.skip.append(nn.Conv2d(channels_in, channels_out, 1, stride, bias=False))
            self.skip.append(nn.BatchNorm2d(channels_out))

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels_in, H, W) → (N, channels_out, H / stride, W / stride)."""
        y = self.act(self.bn1(self.conv1(x)))
        out: Tensor = self.act(self.bn2(self.conv2(y)) + self.skip(x))
        return out


class Grey28(nn.Module):
    """One channel in; 28 px to 14 to 7."""

    def __init__(self, num_classes: int = 10, *, dropout: float = 0.1) -> None:
        super().__init__()
        channels = STAGES[0][0]
        self.stem = nn.Sequential(nn.Conv2d(1, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels), nn.ReLU())
        self.blocks = nn.Sequential()
        for channels_out, stride in STAGES:
            self.blocks.append(Residual(channels, channels_out, stride))
            channels = channels_out
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(channels, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 1, H, W), normalised → logits (N, num_classes)."""
        logits: Tensor = self.classifier(self.dropout(self.blocks(self.stem(x)).mean((2, 3))))
        return logits


grey28 = Grey28
