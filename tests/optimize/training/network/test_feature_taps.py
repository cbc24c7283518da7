"""Features by name, against what a hook of one's own would see."""

import pytest
import torch
from torch import nn

from model_zoo.architectures import ARCHITECTURES, build, input_spec
from optimize.errors import RecipeError
from optimize.training.network.feature_taps import HEAD_INPUT, POOLED, FeatureTaps, observe
from tests.optimize.training.network.small import ANIMALS, COLOURS, grey_pictures, small_network


def hooks(module: nn.Module) -> int:
    """How many hooks there are."""
    return sum(len(part._forward_hooks) + len(part._forward_pre_hooks) for part in module.modules())


def test_features_are_the_modules_outputs() -> None:
    module = small_network().module.eval()
    with FeatureTaps(module, ("stem", "blocks.1", "stem")) as taps:
        module(grey_pictures())
        found = taps.take()
    stem = module.get_submodule("stem")(grey_pictures())
    assert list(found) == ["stem", "blocks.1"]
    torch.testing.assert_close(found["stem"], stem)
    blocks = module.get_submodule("blocks.0")(stem)
    torch.testing.assert_close(found["blocks.1"], module.get_submodule("blocks.1")(blocks))


def test_a_mirrored_network_shows_the_picture_as_it_lies() -> None:
    """So that hints of a mirrored teacher fit the student's maps."""
    module = small_network(arguments={"mirrored": True}).module.eval()
    with FeatureTaps(module, ("stem",)) as taps:
        module(grey_pictures())
        found = taps.take()
    torch.testing.assert_close(found["stem"], module.get_submodule("stem")(grey_pictures()))


def test_what_enters_the_head_is_the_mean_over_all_places() -> None:
    module = small_network(dropout=0.5).module.train()
    with FeatureTaps(module, (POOLED, "blocks.2")) as taps:
        module(grey_pictures())
        found = taps.take()
    torch.testing.assert_close(found[POOLED], found["blocks.2"].mean((2, 3)))
    assert found[POOLED].requires_grad


def test_each_pass_gives_its_own_and_is_let_go() -> None:
    module = small_network(ANIMALS, COLOURS, sharing="soft").module.eval()
    with FeatureTaps(module, (POOLED,)) as taps:
        module(grey_pictures(2))
        module(grey_pictures(3))
        assert taps.take()[POOLED].shape == (3, 128)
        assert taps.take() == {}


def test_hooks_are_gone_afterwards_even_after_an_error() -> None:
    module = small_network().module
    taps = FeatureTaps(module, ("stem", POOLED))
    with taps, pytest.raises(RuntimeError):
        module(torch.zeros(1, 5, 16, 16))
    assert hooks(module) == 0


@pytest.mark.parametrize("name", ["steam", ""])
def test_an_unknown_name_gets_the_nearest(name: str) -> None:
    with pytest.raises(RecipeError, match=f"no module '{name}'; (did you mean 'stem'|there are: pooled, stem)"):
        FeatureTaps(small_network().module, (name,))


def test_a_module_that_gives_no_tensor_is_refused() -> None:
    class Pair(nn.Module):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return x, x

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.pair = Pair()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.pair(x)[0]

    module = Net()
    with FeatureTaps(module, ("pair",)), pytest.raises(RecipeError, match="gives a tuple"):
        module(torch.zeros(1))


def test_observing_leaves_modes_statistics_and_gradients_alone() -> None:
    module = small_network().module.train()
    module.get_submodule("stem").eval()
    modes = [part.training for part in module.modules()]
    seen = observe(module, ("stem", HEAD_INPUT), grey_pictures())
    assert [part.training for part in module.modules()] == modes
    assert not seen["stem"].requires_grad
    assert all(int(part.num_batches_tracked or 0) == 0 for part in module.modules() if isinstance(part, nn.BatchNorm2d))


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_network_has_pooled_features(name: str) -> None:
    spec = input_spec(name)
    with torch.device("meta"):
        module = build(name, 10)
    batch = torch.empty(2, spec.channels, spec.height, spec.width, device="meta")
    assert observe(module, (POOLED,), batch)[POOLED].ndim == 2
