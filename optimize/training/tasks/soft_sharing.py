"""Soft parameter sharing: a network for each task, alike by persuasion and not by construction.

Source: Duong et al., "Low Resource Dependency Parsing" (2015), who tie corresponding
weights by the square of their difference; the term ``soft_sharing`` does.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from optimize.training.network.head import head


class SoftSharing(nn.Module):
    """Networks of one architecture side by side, one for each task."""

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W), normalised → the tasks' logits side by side, (N, sum of classes)."""
        return torch.cat([network(x) for network in self.networks], 1)

    def corresponding(self) -> Iterator[tuple[Tensor, ...]]:
        """The trunks' parameters of one name, one of each network; the heads differ as the tasks do."""
        heads = {key for network in self.networks for key in head(network).keys}
        by_name = [dict(network.named_parameters()) for network in self.networks]
        for name in by_name[0]:
            if name not in heads:
                yield tuple(parameters[name] for parameters in by_name)

    def start_alike(self) -> None:
        """Give every trunk the first one's weights: networks that start apart are tied to a mean that is none."""
        first, *others = self.networks
        for network in others:
            kept = network.state_dict()
            own = {key: kept[key] for key in head(network).keys}
            network.load_state_dict({**first.state_dict(), **own})
