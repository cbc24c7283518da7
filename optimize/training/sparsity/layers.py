"""The weights that may become 0: those that the pass ``sparsify`` takes.

Convolutions and linear layers, the first and the last too: LAMP leaves the first, which has few weights, most of
them, and 2:4 leaves it whole, as it sees three channels or one; the last often holds a third of all weights.
Depthwise convolutions stay whole, as in Zhu and Gupta (2017): few weights, of which each output has nine.
"""

from torch import Tensor, nn


def sparse_layers(network: nn.Module) -> dict[str, Tensor]:
    """By their names in the network, each tensor once."""
    found: dict[str, Tensor] = {}
    for name, part in network.named_modules():
        if not isinstance(part, nn.Conv2d | nn.Linear):
            continue
        weight = part.weight
        is_depthwise = isinstance(part, nn.Conv2d) and part.groups > 1 and weight.shape[1] == 1
        if not is_depthwise and all(weight is not one for one in found.values()):
            found[f"{name}.weight"] = weight
    return found


def zero_share(network: nn.Module) -> float:
    """How many of these weights are 0; 0.0 where there are none."""
    weights = list(sparse_layers(network).values())
    return sum(int((one == 0).sum()) for one in weights) / max(sum(one.numel() for one in weights), 1)
