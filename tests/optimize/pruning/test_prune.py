"""How much goes, where, and what is left alone."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from model_zoo.architectures import build
from model_zoo.spec import ArchitectureRef
from optimize.choice import Table
from optimize.errors import PassError, RecipeError
from optimize.pruning.options import PruneOptions
from optimize.pruning.prune import Pruned, prune
from optimize.pruning.selection import rounded
from optimize.training.network.network import Network
from optimize.training.tasks.soft_sharing import SoftSharing
from tests.optimize.pruning.nets import CLASSES, labelled, pictures, zoo_network


def outputs(pruned: Pruned) -> dict[str, tuple[int, int]]:
    """Layer → its outputs before and after."""
    return {layer.name: (layer.before[1], layer.after[1]) for layer in pruned.layers}


@pytest.mark.parametrize("scope", ["global", "uniform"])
@pytest.mark.parametrize("share", [0.8, 0.5, 0.25])
def test_without_rounding_a_share_is_met_within_the_cost_of_a_channel(scope: str, share: float) -> None:
    pruned = prune(zoo_network("grey28"), PruneOptions(macs=share, scope=scope, round_to=1))
    assert pruned.macs == pytest.approx(share, abs=0.03)
    assert pruned.parameters < 1


def test_a_uniform_scope_shrinks_every_layer_alike_and_a_global_one_does_not() -> None:
    network = zoo_network("grey28")
    with torch.no_grad():  # in two of three layers most filters hardly matter
        for name in ("blocks.0.conv1", "blocks.1.conv1"):
            network.module.get_submodule(name).weight[1:] *= 0.01
    shares = {}
    for scope in ("uniform", "global"):
        found = outputs(prune(network, PruneOptions(macs=0.6, scope=scope, round_to=1)))
        shares[scope] = [after / before for name, (before, after) in found.items() if name.endswith("conv1")]
    assert max(shares["uniform"]) - min(shares["uniform"]) < 0.06
    assert max(shares["global"]) - min(shares["global"]) > 0.5


def test_a_layer_keeps_round_to_channels_however_little_they_matter() -> None:
    network = zoo_network("grey28")
    with torch.no_grad():
        network.module.get_submodule("blocks.0.conv1").weight.mul_(1e-6)
    assert outputs(prune(network, PruneOptions(macs=0.35, round_to=16)))["blocks.0.conv1"] == (24, 16)


@given(st.integers(1, 300), st.integers(1, 64), st.data())
def test_rounding_keeps_a_multiple_or_all(size: int, round_to: int, data: st.DataObject) -> None:
    count = data.draw(st.integers(0, size))
    found = rounded(count, size, round_to)
    allowed = [*range(round_to, size + 1, round_to), size]
    assert found in allowed
    assert abs(found - count) == min(abs(one - count) for one in allowed)


def test_what_is_asked_for_must_be_reachable() -> None:
    network = zoo_network("grey28_wide")
    with pytest.raises(RecipeError, match="at the least") as caught:
        prune(network, PruneOptions(macs=0.01))
    smallest = float(str(caught.value).split("cut to ")[1].split()[0])
    assert prune(network, PruneOptions(macs=smallest + 0.001)).macs == pytest.approx(smallest, abs=0.001)
    with pytest.raises(RecipeError, match="smaller round_to"):
        prune(network, PruneOptions(macs=smallest - 0.01))


def test_named_layers_and_blocks_keep_their_outputs() -> None:
    network = zoo_network("grey28")
    found = outputs(prune(network, PruneOptions(macs=0.65, keep=("blocks.0", "blocks.2.conv1"))))
    assert all(before == after for name, (before, after) in found.items() if name.startswith(("blocks.0", "stem")))
    assert found["blocks.2.conv1"] == (64, 64)
    assert found["blocks.2.conv2"][1] < 64
    with pytest.raises(RecipeError, match=r"no layer named 'blocks.2.conv3'; did you mean 'blocks.2.conv"):
        prune(network, PruneOptions(keep=("blocks.2.conv3",)))


def test_pruning_goes_on_from_a_pruned_network_and_shares_are_of_the_first() -> None:
    network = zoo_network("grey28")
    options = PruneOptions(macs=0.36, steps=2, round_to=2)
    first = prune(network, options, step=1, unpruned=network)
    second = prune(first.network, options, step=2, unpruned=network)
    assert (first.macs, second.macs) == (pytest.approx(0.6, abs=0.03), pytest.approx(0.36, abs=0.03))
    assert second.network.architecture.name == "pruned:grey28"
    with pytest.raises(RecipeError, match="no step 3"):
        prune(network, options, step=3)
    assert [layer.before for layer in second.layers] == [layer.after for layer in first.layers]
    again = build("pruned:grey28", 3, layers=str(second.network.architecture.arguments["layers"])).eval()
    again.load_state_dict(second.network.module.state_dict())
    assert torch.equal(again(pictures(network)), second.network.module(pictures(network)))


def test_what_was_frozen_stays_frozen_and_nothing_of_the_search_is_left() -> None:
    network = zoo_network("grey28")
    network.module.get_submodule("stem").requires_grad_(False)
    module = prune(network, PruneOptions(criterion="taylor"), labelled(network)).network.module
    trains = {name: one.requires_grad for name, one in module.named_parameters()}
    assert trains == {name: not name.startswith("stem") for name in trains}
    assert all(one.grad is None for one in module.parameters())
    assert not module.training


def test_batch_norms_are_estimated_anew_where_that_is_asked_for() -> None:
    network = zoo_network("grey28")
    batches = labelled(network, batches=3, n=8)
    plain = prune(network, PruneOptions())
    fresh = prune(network, PruneOptions(reestimate=2), batches)
    seen = torch.cat([inputs for inputs, _ in batches[:2]])
    stem = fresh.network.module.get_submodule("stem")
    values = stem[0](seen).transpose(0, 1).flatten(1)
    torch.testing.assert_close(stem[1].running_mean, values.mean(1), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(stem[1].running_var, values.var(1), rtol=1e-4, atol=1e-5)
    assert torch.equal(stem[0].weight, plain.network.module.get_submodule("stem")[0].weight)
    with pytest.raises(RecipeError, match="reestimate"):
        prune(network, PruneOptions(reestimate=2))


@pytest.mark.parametrize(
    "fields",
    [
        {"macs": 0.0},
        {"macs": 1.0},
        {"round_to": 0},
        {"scope": "local"},
        {"criterion": "l3"},
        {"steps": 0},
        {"mac": 0.5},
    ],
)
def test_options_that_make_no_sense_are_refused(fields: dict[str, object]) -> None:
    with pytest.raises(RecipeError):
        Table("pass", {"prune": "optimize.pruning.options:PruneOptions"}).choose("prune", fields)


def with_module(network: Network, module: nn.Module) -> Network:
    return replace(network, module=module.eval(), architecture=ArchitectureRef("timm:made_up", {}))


class Odd(nn.Module):
    """Three channels pass ``between`` on their way to the logits."""

    def __init__(self, between: nn.Module) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 32, 3)
        self.between = between
        self.fc = nn.Linear(32, len(CLASSES))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, 1, H, W) → (N, classes)."""
        out: torch.Tensor = self.fc(self.between(self.conv(x)).mean((2, 3)))
        return out


class Scaled(nn.Module):
    """A parameter outside any layer."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(32, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, 32, H, W) → the same."""
        return x * self.scale


@pytest.mark.parametrize(
    ("between", "reason"),
    [
        (nn.GroupNorm(4, 32), "GroupNorm"),
        (Scaled(), "a parameter outside any layer"),
        (nn.Conv2d(32, 32, 1, groups=4), "grouped convolution"),
        (nn.PixelShuffle(1), "can't be pruned"),
    ],
)
def test_what_can_not_be_cut_is_refused_in_words(between: nn.Module, reason: str) -> None:
    network = zoo_network("grey28")
    with pytest.raises(PassError, match=reason):
        prune(with_module(network, Odd(between)), PruneOptions())


def test_several_networks_in_one_are_pruned_one_by_one() -> None:
    network = zoo_network("grey28")
    with pytest.raises(PassError, match="prune its members"):
        prune(replace(network, architecture=ArchitectureRef("ensemble:mean", {})), PruneOptions())
    with pytest.raises(PassError, match="each task's own"):
        prune(replace(network, module=SoftSharing([network.module])), PruneOptions())
