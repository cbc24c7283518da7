"""Which parameters get which learning rate and weight decay.

Weight decay pulls weights towards zero; a norm's scale or a bias has no reason to be
there (Goyal et al., "Accurate, Large Minibatch SGD", 2017, and He et al., "Bag of
Tricks", 2018), so vectors and scalars get none.
"""

from collections.abc import Iterator
from typing import TypedDict

from torch import nn

from optimize.training.network.network import Network
from optimize.training.network.stages import stages
from optimize.training.transfer.plan import Plan


class ParameterGroup(TypedDict):
    """What torch's optimisers take."""

    params: list[nn.Parameter]
    lr: float
    weight_decay: float
    name: str


def parameter_groups(
    network: Network,
    plan: Plan,
    *,
    epochs: int,
    lr: float,
    weight_decay: float,
) -> list[ParameterGroup]:
    """The parameters that some epoch trains, few groups, in the order of the stages.

    Args:
        epochs: of the run; a stage that none of them trains is left out.
        lr: the recipe's; the plan's factors multiply it.
        weight_decay: the recipe's, for weights of two dimensions or more.
    Raises:
        RecipeError: the plan does not fit the network.
    """
    groups: dict[tuple[float, bool], ParameterGroup] = {}
    for name, factor, parameter in _with_factors(network, plan, epochs):
        decays = parameter.ndim > 1
        group = groups.setdefault(
            (factor, decays),
            ParameterGroup(
                params=[],
                lr=lr * factor,
                weight_decay=weight_decay if decays else 0.0,
                name=f"{name}{'' if decays else ' (norms and biases)'}",
            ),
        )
        group["params"].append(parameter)
    return list(groups.values())


def _with_factors(network: Network, plan: Plan, epochs: int) -> Iterator[tuple[str, float, nn.Parameter]]:
    """What trains: the name of its part, the factor of its learning rate, and the parameter."""
    parts = stages(network.module)
    for number in plan.ever_trained(len(parts), epochs):
        for parameter in parts[number].parameters():
            yield parts[number].name, plan.lr_factor(number, len(parts)), parameter
