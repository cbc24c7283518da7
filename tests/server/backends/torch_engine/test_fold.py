"""The traced network answers as the one it was made of, without its batch norms."""

import pytest
import torch
from torch import Tensor, nn

from model_zoo.architectures import ARCHITECTURES, build, input_spec
from server.backends.torch_engine.fold import find_pooled, traced, with_features

# One or two of each family: a larger member has the same calls, more often.
FAMILIES = (
    "efficientnet_lite0_short",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "resnet18",
    "seresnet50",
    "squeezenet1_1",
    "densenet121",
    "shufflenet_v2_x0_5",
    "grey28",
    "grey28_small",
)
NORMS_LEFT = {"densenet121": 62}  # it normalises before each convolution, behind an activation
NO_MAPS = {"mobilenet_v3_small", "squeezenet1_1"}


def lively(network: nn.Module) -> nn.Module:
    """In evaluation mode, with statistics that are not those of a fresh network."""
    generator = torch.Generator().manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None and module.running_var is not None
            module.running_mean.normal_(0, 0.1, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
    return network.eval()


def norms(network: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in network.modules())


def test_the_families_are_all_that_there_are() -> None:
    modules = {ARCHITECTURES[name].partition(":")[0] for name in FAMILIES}
    assert modules == {place.partition(":")[0] for place in ARCHITECTURES.values() if place.startswith("model_zoo.")}


@pytest.mark.parametrize("name", FAMILIES)
def test_it_answers_as_before_and_its_maps_explain_it(name: str) -> None:
    torch.manual_seed(0)
    network = lively(build(name, 7))
    spec = input_spec(name)
    pictures = torch.randn(2, spec.channels, spec.height, spec.width)
    with torch.no_grad():
        before = network(pictures)
        module = traced(network)
        after = module(pictures)
        pooled = find_pooled(module, pictures)
    assert norms(module) == NORMS_LEFT.get(name, 0)
    assert norms(network) > 0 or name == "squeezenet1_1"  # the one given was not changed
    assert (after - before).abs().max() <= 1e-5 * before.abs().max()
    if pooled is None:
        assert name in NO_MAPS
        return
    with torch.no_grad():
        logits, features = with_features(module, pooled)(pictures)
    torch.testing.assert_close(logits, after)
    explained = pooled.linear(features.mean((2, 3)))
    assert (explained - after).abs().max() <= 1e-4 * after.abs().max()


class Mirrored(nn.Module):
    """Calls the same convolution and norm twice."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(1, 4, 3, bias=False)
        self.norm = nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        return (self.norm(self.convolution(x)) + self.norm(self.convolution(x.flip(3)))).mean((2, 3))


class Shared(nn.Module):
    """One convolution under two norms, one norm behind two convolutions, and one whose raw result is used, too."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.three, self.four = (nn.Conv2d(1, 4, 3) for _ in range(4))
        self.norm_a, self.norm_b, self.norm_c, self.norm_d = (nn.BatchNorm2d(4) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        raw = self.four(x)
        both = self.norm_a(self.one(x)) + self.norm_b(self.one(x.flip(2)))
        return (both + self.norm_c(self.two(x)) * self.norm_c(self.three(x)) + raw * self.norm_d(raw)).mean((2, 3))


@pytest.mark.parametrize(("kind", "left"), [(Mirrored, 0), (Shared, 4)])
def test_what_is_called_twice_is_folded_once_or_not_at_all(kind: type[nn.Module], left: int) -> None:
    torch.manual_seed(0)
    network = lively(kind())
    pictures = torch.randn(3, 1, 8, 8)
    with torch.no_grad():
        module = traced(network)
        torch.testing.assert_close(module(pictures), network(pictures), rtol=1e-4, atol=1e-5)
    assert norms(module) == left
