"""Dropped branches: the blocks that have one, the probabilities, the mean, and nothing in evaluation."""

import copy

import pytest
import torch
from torch import nn

from model_zoo.architectures import ARCHITECTURES, build
from optimize.training.batch_norm import reestimate
from optimize.training.network.stochastic_depth import DropPath, drop_paths, residual_branches
from tests.optimize.training.network.small import grey_pictures, small_network

# Residual blocks with a skip of each network, counted in the papers' tables.
SKIPS = {
    "efficientnet_lite0": 9,
    "efficientnet_lite1": 14,
    "efficientnet_lite2": 14,
    "efficientnet_lite3": 17,
    "efficientnet_lite4": 23,
    "efficientnet_lite0_short": 6,
    "mobilenet_v2": 10,
    "mobilenet_v3_small": 6,
    "mobilenet_v3_large": 10,
    "resnet18": 8,
    "resnet34": 16,
    "resnet50": 16,
    "seresnet50": 16,
    "squeezenet1_1": 0,
    "densenet121": 0,
    "shufflenet_v2_x0_5": 0,
    "shufflenet_v2_x1_0": 0,
    "shufflenet_v2_x1_5": 0,
    "shufflenet_v2_x2_0": 0,
    "grey28": 3,
    "grey28_small": 4,
    "grey28_wide": 3,
}


def on_meta(name: str) -> nn.Module:
    """The network without memory for its weights."""
    with torch.device("meta"):
        return build(name, 10)


@pytest.mark.parametrize(("name", "skips"), SKIPS.items())
def test_the_known_number_of_branches(name: str, skips: int) -> None:
    assert len(residual_branches(on_meta(name))) == skips


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_block_without_its_branch_is_its_skip(name: str) -> None:
    """Setting the branches to nothing leaves each block what its skip alone would be."""
    module = build(name, 10).eval()
    for block in (part for part in module.modules() if hasattr(part, "branch_end") and getattr(part, "has_skip", True)):
        branch = block.get_submodule(str(block.branch_end))
        handle = branch.register_forward_hook(lambda _, __, output: torch.zeros_like(output))
        first = next(part for part in block.modules() if isinstance(part, nn.Conv2d))
        x = torch.rand(2, first.in_channels, 8, 8)
        skip = next((getattr(block, key) for key in ("skip", "downsample") if hasattr(block, key)), nn.Identity())
        wanted = skip(x) if not hasattr(block, "relu") and not hasattr(block, "skip") else skip(x).relu()
        torch.testing.assert_close(block(x), wanted)
        handle.remove()


def test_probabilities_grow_evenly_from_nothing() -> None:
    module = build("grey28", 10)
    drop_paths(module, 0.4)
    rates = [hook.rate for branch in residual_branches(module) for hook in branch._forward_hooks.values()]
    assert rates == pytest.approx([0.0, 0.2, 0.4])


def test_pictures_are_dropped_one_by_one_and_the_mean_stays() -> None:
    torch.manual_seed(0)
    layer = nn.Identity().train()
    layer.register_forward_hook(DropPath(0.25, layer))
    out = layer(torch.ones(20_000, 2, 1, 1))
    assert out.unique().tolist() == pytest.approx([0.0, 1 / 0.75])
    assert torch.equal(out[:, 0], out[:, 1])
    dropped = (out[:, 0] == 0).float().mean().item()
    assert dropped == pytest.approx(0.25, abs=4 * (0.25 * 0.75 / 20_000) ** 0.5)


def test_evaluation_and_the_state_dict_know_nothing_of_it() -> None:
    plain, dropping = small_network(), small_network(drop_path=0.5)
    assert list(plain.module.state_dict()) == list(dropping.module.state_dict())
    x = grey_pictures()
    assert torch.equal(plain.module.eval()(x), dropping.module.eval()(x))
    dropping.module.train()
    assert not torch.equal(dropping.module(x), dropping.module(x))


def test_statistics_that_are_estimated_anew_see_every_branch() -> None:
    torch.manual_seed(0)
    module = build("grey28", 3).eval()
    pictures = torch.randn(8, 1, 28, 28)
    plain = copy.deepcopy(module)
    drop_paths(module, 0.9)

    for one in (module, plain):
        reestimate(one, [pictures])

    for key, value in plain.state_dict().items():
        assert torch.equal(module.state_dict()[key], value)


def test_frozen_statistics_do_not_keep_branches_from_being_left_out() -> None:
    torch.manual_seed(0)
    module = build("grey28", 3)
    drop_paths(module, 0.9)
    module.train()
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.eval()
    pictures = torch.randn(1, 1, 28, 28).expand(64, -1, -1, -1)

    seen = copy.deepcopy(module).blocks(module.stem(pictures))

    assert len({tuple(row.flatten().tolist()) for row in seen.detach()}) > 1
