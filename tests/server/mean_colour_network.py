"""The network behind ``MeanColour(network=True)``: a mean over all places and a linear layer."""

from torch import Tensor, nn


class MeanColourNetwork(nn.Module):
    """(N, channels, H, W) → (N, num_classes)."""

    def __init__(self, num_classes: int, channels: int) -> None:
        super().__init__()
        self.linear = nn.Linear(channels, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.linear(x.mean((2, 3)))
        return logits


def mean_colour(num_classes: int = 10, channels: int = 3) -> nn.Module:
    """For the table of architectures."""
    return MeanColourNetwork(num_classes, channels)
