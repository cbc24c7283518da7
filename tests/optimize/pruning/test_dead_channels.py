"""A cut that would change what is computed is refused, however well it runs; one that would not is made."""

from functools import partial

import pytest
import torch
from torch import Tensor, nn

from model_zoo.architectures import ARCHITECTURES, input_spec
from model_zoo.spec import ArchitectureRef
from optimize.data.dataset import Task
from optimize.errors import PassError
from optimize.pruning.groups import channel_groups
from optimize.pruning.options import PruneOptions
from optimize.pruning.prune import prune
from optimize.training.network.network import Network
from tests.optimize.pruning.nets import CLASSES, labelled


class Branches(nn.Module):
    """Two convolutions, joined in some way, then the logits."""

    def __init__(self, num_classes: int, *, join: str, hidden: bool = False, affine: bool = True) -> None:
        super().__init__()
        self.join = join
        if join == "head first":
            self.fc = nn.Linear(32, num_classes)
        self.a = nn.Conv2d(1, 32, 3)
        self.norm = nn.BatchNorm2d(32, affine=affine)
        self.b = nn.Conv2d(1, 32, 3)
        if join != "head first":
            features = {"flat": 64 * 36, "flat sum": 32 * 36, "pooled": 64, "mean over channels": 36}.get(join, 32)
            self.fc = nn.Linear(features, num_classes)
        if hidden:
            nn.init.zeros_(self.b.weight)
            nn.init.zeros_(self.b.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 1, H, W) → (N, classes)."""
        x = nn.functional.adaptive_avg_pool2d(x, 8)
        a, b = self.norm(self.a(x)).relu(), self.b(x).relu()
        joined = {
            "flat": lambda: torch.cat([a.flatten(1), b.flatten(1)], 1),
            "flat sum": lambda: (a + b).flatten(1),
            "pooled": lambda: torch.cat([a.mean((2, 3)), b.mean((2, 3))], 1),
            "mean over channels": lambda: (a + b).mean(1).flatten(1),
            "sigmoid": lambda: (a * b).mean((2, 3)).sigmoid(),
            "normalised": lambda: nn.functional.layer_norm((a + b).mean((2, 3)), (a.shape[1],)),
        }.get(self.join, lambda: (a + b).mean((2, 3)))
        out: Tensor = self.fc(joined())
        return out


def network(monkeypatch: pytest.MonkeyPatch, **arguments: object) -> Network:
    """As an entry of the zoo, so that it can be built again."""
    monkeypatch.setitem(ARCHITECTURES, "branches", f"{__name__}:entry")
    monkeypatch.setattr(f"{__name__}.entry", partial(Branches, **arguments), raising=False)
    monkeypatch.setattr("model_zoo.architectures.pruned.input_spec", lambda _: input_spec("grey28"))
    torch.manual_seed(0)
    module = Branches(len(CLASSES), **arguments).eval()
    reference = ArchitectureRef("branches", {"num_classes": len(CLASSES)})
    return Network(module=module, spec=input_spec("grey28"), architecture=reference, tasks=(Task("label", CLASSES),))


@pytest.mark.parametrize("hidden", [False, True], ids=["seen", "hidden behind weights of zero"])
def test_branches_that_are_flattened_and_joined_are_refused(monkeypatch: pytest.MonkeyPatch, hidden: bool) -> None:
    with pytest.raises(PassError, match="not followed rightly"):
        prune(network(monkeypatch, join="flat", hidden=hidden), PruneOptions())


@pytest.mark.parametrize("join", ["mean over channels", "normalised"])
def test_channels_that_are_mixed_without_weights_are_refused(monkeypatch: pytest.MonkeyPatch, join: str) -> None:
    with pytest.raises(PassError, match=r"mixed without weights|does not run with fewer channels"):
        prune(network(monkeypatch, join=join), PruneOptions())


@pytest.mark.parametrize("join", ["flat sum", "pooled", "sigmoid", "sum"])
def test_what_can_be_followed_is_cut(monkeypatch: pytest.MonkeyPatch, join: str) -> None:
    """Also where a channel at zero would still add something: a sigmoid of 0 is a half."""
    assert prune(network(monkeypatch, join=join), PruneOptions()).macs < 0.6


def test_the_logits_are_never_cut_wherever_their_layer_is_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    one = network(monkeypatch, join="head first")
    groups = channel_groups(one.module.requires_grad_(True), torch.zeros(1, 1, 28, 28))
    assert not any(part.outputs and part.name == "fc" for group in groups for part in group.parts)


@pytest.mark.parametrize("criterion", ["l2", "bn_scale", "taylor"])
def test_batch_norms_without_scales_are_cut_too(monkeypatch: pytest.MonkeyPatch, criterion: str) -> None:
    one = network(monkeypatch, join="pooled", affine=False)
    if criterion == "bn_scale":
        with pytest.raises(Exception, match="bn_scale has nothing to say"):
            prune(one, PruneOptions(criterion=criterion))
        return
    pruned = prune(one, PruneOptions(criterion=criterion), labelled(one))
    norm = next(layer for layer in pruned.layers if layer.name == "norm")
    assert norm.after[0] < 32
    assert pruned.network.module.get_submodule("norm").running_mean.shape == (norm.after[0],)
