"""A small network of the zoo, made in no time."""

import torch

from optimize.data.dataset import Task
from optimize.training.network.build import build_network
from optimize.training.network.network import Network
from optimize.training.network.options import ModelOptions

ANIMALS = Task("animal", ("cat", "dog", "owl"))
COLOURS = Task("colour", ("black", "white"))


def small_network(*tasks: Task, seed: int = 1, **options: object) -> Network:
    """``grey28`` for ``tasks``, one by default, with the recipe's ``[model]`` options."""
    torch.set_num_threads(1)
    choice = ModelOptions.model_validate({"architecture": "grey28", "height": 16, **options})
    return build_network(choice, tasks or (ANIMALS,), seed)


def grey_pictures(n: int = 4, seed: int = 0) -> torch.Tensor:
    """Normalised noise, (n, 1, 16, 16)."""
    return torch.randn(n, 1, 16, 16, generator=torch.Generator().manual_seed(seed))
