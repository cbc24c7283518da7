"""Every family of the zoo is pruned right: what is left computes what the whole one does without those channels."""

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from model_zoo.architectures import ARCHITECTURES, build
from model_zoo.architectures.pruned import sized_layers
from model_zoo.spec import ArchitectureRef
from optimize.errors import PassError
from optimize.pruning.dead_channels import remove
from optimize.pruning.groups import ChannelGroup, channel_groups
from optimize.pruning.options import PruneOptions
from optimize.pruning.prune import lost_positions, prune
from optimize.training.network.stages import stages
from tests.optimize.pruning.nets import CLASSES, SHORT, pictures, zoo_network

# Entries, and an input size that keeps the test short.
FAMILIES = {
    "grey28": 28,
    "grey28_small": 28,
    "grey28_wide": 28,
    "efficientnet_lite0_short": 64,
    "mobilenet_v2": 64,
    "mobilenet_v3_small": 64,
    "resnet18": 64,
    "squeezenet1_1": 64,
    **dict.fromkeys(SHORT, 64),
}


@pytest.fixture(autouse=True)
def _with_short_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SHORT:
        monkeypatch.setitem(ARCHITECTURES, name, f"tests.optimize.pruning.nets:{name}")


def multiply_adds(module: nn.Module, picture: torch.Tensor) -> float:
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        module(picture)
    return counter.get_total_flops() / 2


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_is_pruned_to_the_share_and_built_again(name: str) -> None:
    network = zoo_network(name, side=FAMILIES[name])
    state = copy.deepcopy(network.module.state_dict())
    batch = pictures(network)

    pruned = prune(network, PruneOptions(macs=0.5))

    module = pruned.network.module
    assert pruned.macs == pytest.approx(0.5, abs=0.05)
    assert pruned.macs == multiply_adds(module, batch[:1]) / multiply_adds(network.module, batch[:1])
    assert all(torch.equal(value, state[key]) for key, value in network.module.state_dict().items())
    for layer in pruned.layers:
        for before, after in zip(layer.before, layer.after, strict=True):
            assert after == before or (8 <= after < before and after % 8 == 0)
    assert [part.name for part in stages(module)] == [part.name for part in stages(network.module)]
    arguments = dict(pruned.network.architecture.arguments)
    again = build(pruned.network.architecture.name, int(arguments.pop("num_classes")), **arguments).eval()
    again.load_state_dict(module.state_dict())
    assert module(batch).shape == (2, len(CLASSES))
    assert torch.equal(again(batch), module(batch))


def silence(module: nn.Module, groups: list[ChannelGroup], kept: list[torch.Tensor]) -> None:
    """Make every channel that goes 0 wherever it is made, so that only what is kept is computed."""
    layers = sized_layers(module)
    with torch.no_grad():
        for group, channels in zip(groups, kept, strict=True):
            for part in (part for part in group.parts if part.outputs):
                gone = part.positions[~torch.isin(part.channels, channels)]
                for value in ("weight", "bias", "running_mean"):
                    tensor = getattr(layers[part.name], value, None)
                    if tensor is not None:
                        tensor[gone] = 0


@pytest.mark.parametrize("name", FAMILIES)
def test_the_pruned_network_is_the_whole_one_with_those_channels_at_zero(name: str) -> None:
    network = zoo_network(name, side=FAMILIES[name])
    whole, narrow = (copy.deepcopy(network.module).requires_grad_(True) for _ in range(2))
    batch = pictures(network)
    torch.manual_seed(3)
    groups = channel_groups(narrow, batch[:1])
    kept = [torch.randperm(group.channels)[: group.channels // 2].sort().values for group in groups]

    silence(whole, groups, kept)
    remove(narrow, lost_positions(groups, kept))

    with torch.no_grad():
        expected, got = whole(batch), narrow(batch)
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))
    assert all(after.weight.shape != before.weight.shape for before, after in _convolutions(network.module, narrow))


def _convolutions(first: nn.Module, second: nn.Module) -> list[tuple[nn.Conv2d, nn.Conv2d]]:
    pairs = zip(first.modules(), second.modules(), strict=True)
    return [(one, other) for one, other in pairs if isinstance(one, nn.Conv2d) and isinstance(other, nn.Conv2d)]


def test_shuffled_channels_are_refused_in_words() -> None:
    with pytest.raises(PassError, match=r"ShuffleNetV2 can't be pruned.*shuffles"):
        prune(zoo_network("shufflenet_v2_x0_5", side=64), PruneOptions())


def test_a_network_that_looks_at_the_mirror_image_too_is_pruned_as_one_that_does_not() -> None:
    plain = zoo_network("grey28_wide")
    mirrored = build("grey28_wide", len(CLASSES), mirrored=True)
    mirrored.load_state_dict(plain.module.state_dict())
    one = prune(plain, PruneOptions())
    reference = ArchitectureRef("grey28_wide", {**plain.architecture.arguments, "mirrored": True})
    other = prune(replace(plain, module=mirrored.eval(), architecture=reference), PruneOptions())

    assert [layer.after for layer in one.layers] == [layer.after for layer in other.layers]
    assert other.network.architecture.arguments["mirrored"] is True
