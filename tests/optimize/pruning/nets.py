"""Small networks to prune, with weights that no two channels share."""

from functools import partial

import torch
from torch import nn

from model_zoo.architectures import build, input_spec
from model_zoo.architectures.densenet import DenseNet
from model_zoo.architectures.resnet import BasicBlock, ResNet
from model_zoo.spec import ArchitectureRef
from optimize.data.dataset import Task
from optimize.training.network.network import Network

CLASSES = ("bag", "boot", "coat")

# Families whose smallest entry is slow to trace, with a few blocks alone; to be listed in ``ARCHITECTURES``.
SHORT = ("densenet_short", "seresnet_short")
densenet_short = partial(DenseNet, depths=(2, 2, 2), growth=16, stem=32)
seresnet_short = partial(ResNet, block=BasicBlock, depths=(1, 1, 1, 1), squeeze=True)


def zoo_network(name: str, *, side: int | None = None, seed: int = 0) -> Network:
    """An entry of the zoo in evaluation mode, its batch norms as after some training."""
    torch.manual_seed(seed)
    module = build(name, len(CLASSES)).eval()
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.normal_(part.running_mean, 0, 0.1)
            nn.init.uniform_(part.running_var, 0.5, 2)
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.normal_(part.bias, 0, 0.1)
    spec = input_spec(name)
    return Network(
        module=module,
        spec=spec.at_size(side, side) if side else spec,
        architecture=ArchitectureRef(name, {"num_classes": len(CLASSES)}),
        tasks=(Task("label", CLASSES),),
    )


def pictures(network: Network, n: int = 2, seed: int = 1) -> torch.Tensor:
    """Noise as the network takes it, (n, C, H, W)."""
    spec = network.spec
    return torch.randn(n, spec.channels, spec.height, spec.width, generator=torch.Generator().manual_seed(seed))


def labelled(network: Network, batches: int = 2, n: int = 6) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Batches of noise with rows of probabilities."""
    rows = torch.eye(len(CLASSES))[torch.arange(n) % len(CLASSES)]
    return [(pictures(network, n, seed), rows) for seed in range(batches)]
