"""How fast batch norms follow the data."""

from torch import nn

from optimize.errors import RecipeError


def choose_momentum(module: nn.Module, momentum: float) -> None:
    """Set every batch norm's share of a step's statistics in its running ones.

    Raises:
        RecipeError: the network has no batch norms.
    """
    norms = [part for part in module.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]
    if not norms:
        raise RecipeError(f"model.batch_norm_momentum: {type(module).__name__} has no batch norms")
    for norm in norms:
        norm.momentum = momentum
