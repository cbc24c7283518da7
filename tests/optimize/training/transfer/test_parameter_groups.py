"""Learning rates and weight decay, parameter by parameter."""

import pytest
import torch
from torch import nn

from model_zoo.architectures import ARCHITECTURES, build
from optimize.training.network.network import Network
from optimize.training.network.stages import stages
from optimize.training.transfer import PLANS
from optimize.training.transfer.parameter_groups import ParameterGroup, parameter_groups
from tests.optimize.training.network.small import ANIMALS, small_network


def by_name(network: Network, groups: list[ParameterGroup]) -> dict[str, tuple[float, float]]:
    """Parameter name → (learning rate, weight decay)."""
    names = {parameter: name for name, parameter in network.module.named_parameters()}
    return {names[one]: (group["lr"], group["weight_decay"]) for group in groups for one in group["params"]}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_parameter_is_in_one_group_and_norms_and_biases_do_not_decay(name: str) -> None:
    with torch.device("meta"):
        module = build(name, 3)
    small = small_network()
    network = Network(module=module, spec=small.spec, architecture=small.architecture, tasks=(ANIMALS,))
    groups = parameter_groups(network, PLANS.choose("full"), epochs=1, lr=0.1, weight_decay=0.05)
    assert sum(len(group["params"]) for group in groups) == len(list(module.parameters()))
    assert len(groups) <= 2
    found = by_name(network, groups)
    for owner, part in module.named_modules():
        for key, _ in part.named_parameters(recurse=False):
            is_weight = key == "weight" and isinstance(part, nn.Conv2d | nn.Linear)
            assert found[f"{owner}.{key}"] == (0.1, 0.05 if is_weight else 0.0)


def test_layer_decay_and_the_heads_factor_multiply() -> None:
    network = small_network()
    plan = PLANS.choose("full", {"layer_decay": 0.5, "head_lr_factor": 10.0})
    found = by_name(network, parameter_groups(network, plan, epochs=1, lr=0.8, weight_decay=0.1))
    wanted = [0.8 * 0.5**4, 0.8 * 0.5**3, 0.8 * 0.5**2, 0.8 * 0.5, 0.8 * 10]
    for stage, rate in zip(stages(network.module), wanted, strict=True):
        assert [found[key][0] for key, _ in stage.named_parameters()] == pytest.approx(
            [rate] * len(list(stage.parameters()))
        )


@pytest.mark.parametrize(
    ("name", "settings", "first"),
    [("head", {}, 4), ("partial", {"stages": 2}, 2), ("gradual", {}, 0), ("gradual", {"keep_frozen": 3}, 3)],
)
def test_what_never_trains_is_in_no_group(name: str, settings: dict[str, object], first: int) -> None:
    network = small_network()
    found = by_name(
        network, parameter_groups(network, PLANS.choose(name, settings), epochs=4, lr=0.1, weight_decay=0.0)
    )
    assert set(found) == {key for stage in stages(network.module)[first:] for key, _ in stage.named_parameters()}


def test_torchs_optimisers_take_the_groups() -> None:
    network = small_network()
    groups = parameter_groups(network, PLANS.choose("full", {"layer_decay": 0.9}), epochs=1, lr=0.1, weight_decay=0.1)
    optimiser = torch.optim.AdamW(groups)  # type: ignore[arg-type]
    assert len(optimiser.param_groups) == 10
    assert len({group["name"] for group in optimiser.param_groups}) == 10
