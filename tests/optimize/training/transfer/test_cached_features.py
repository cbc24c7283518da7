"""Features computed once: the head on them says what the whole network says."""

import pytest
import torch
from torch import Tensor, nn

from model_zoo.architectures import ARCHITECTURES, build, input_spec
from optimize.errors import DataError, RecipeError
from optimize.training.transfer import PLANS
from optimize.training.transfer.cached_features import HeadOnFeatures, cached_features
from tests.optimize.training.network.small import ANIMALS, COLOURS, grey_pictures, small_network


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_head_on_features_is_the_whole_network(name: str) -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    module = build(name, 4).train()
    batches = torch.randn(3, input_spec(name).channels, 64, 64).split(2)
    features = cached_features(module, batches)
    assert all(part.training for part in module.modules())
    module.eval()
    with torch.no_grad():
        wanted = torch.cat([module(batch) for batch in batches])
        torch.testing.assert_close(HeadOnFeatures(module).eval()(features), wanted, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("sharing", ["hard", "soft"])
def test_training_on_features_trains_the_networks_own_head(sharing: str) -> None:
    """A step on cached features leaves the same head as a step of the whole, frozen network."""
    pictures, plan = grey_pictures(6), PLANS.choose("head", {"cached": True})
    heads = []
    for cached in (True, False):
        network = small_network(ANIMALS, COLOURS, sharing=sharing, dropout=0.0)
        plan.begin_epoch(network, 0, 1)
        features = cached_features(network.module, [pictures])
        logits = HeadOnFeatures(network.module)(features) if cached else network.module(pictures)
        trained = [parameter for parameter in network.module.parameters() if parameter.requires_grad]
        optimiser = torch.optim.SGD(trained, lr=0.5)
        logits.square().sum().backward()
        optimiser.step()
        heads.append([parameter.detach().clone() for parameter in trained])
    for one, other in zip(*heads, strict=True):
        torch.testing.assert_close(one, other)


def test_no_pictures_is_an_error() -> None:
    with pytest.raises(DataError, match="no pictures"):
        cached_features(small_network().module, [])


def test_a_network_that_does_more_than_its_head_says_is_refused() -> None:
    class Doubled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 4, 3)
            self.fc = nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            logits: Tensor = 2 * self.fc(self.conv(x).mean((2, 3)))
            return logits

    with pytest.raises(RecipeError, match=r"set transfer\.cached = false"):
        cached_features(Doubled(), [grey_pictures()])
