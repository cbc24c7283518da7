"""Each criterion against its formula, on channels few enough to follow by hand."""

import copy
import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from model_zoo.architectures import build
from optimize.errors import DataError, RecipeError
from optimize.pruning import CRITERIA
from optimize.pruning.criterion import Criterion, Evidence
from optimize.pruning.groups import ChannelGroup, channel_groups
from optimize.pruning.options import PruneOptions
from optimize.pruning.prune import prune
from tests.optimize.pruning.nets import CLASSES, labelled, pictures, zoo_network


class Tiny(nn.Module):
    """1 → 3 channels, a norm, → 2 classes: one group of three channels, in three layers."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 3, (1, 2), bias=False)
        self.norm = nn.BatchNorm2d(3)
        self.fc = nn.Linear(3, 2)
        with torch.no_grad():
            self.conv.weight.copy_(torch.tensor([[3.0, 4], [0, 0], [6, -8]]).view(3, 1, 1, 2))
            self.norm.weight.copy_(torch.tensor([0.5, -2, 0.1]))
            self.norm.bias.copy_(torch.tensor([0.3, 0.2, -0.1]))
            self.fc.weight.copy_(torch.tensor([[1.0, 2, -2], [1, 2, 1]]))

    def forward(self, x: Tensor) -> Tensor:
        """(N, 1, H, W) → (N, 2)."""
        out: Tensor = self.fc(self.norm(self.conv(x)).relu().mean((2, 3)))
        return out


def group_of(module: nn.Module) -> ChannelGroup:
    dtype = next(module.parameters()).dtype
    (group,) = channel_groups(module.eval(), torch.zeros(1, 1, 4, 4, dtype=dtype))
    return group


def scores(name: str, module: nn.Module, batches: list[tuple[Tensor, Tensor]] | None = None, seed: int = 0) -> Tensor:
    evidence = Evidence(module, (slice(0, 2),), batches, seed)
    (found,) = CRITERIA.choose(name).scores([group_of(module)], evidence)
    assert found is not None
    return found


def test_every_entry_is_a_criterion() -> None:
    assert all(isinstance(CRITERIA.choose(name), Criterion) for name in CRITERIA)


@pytest.mark.parametrize(
    ("name", "made", "read"),
    [("l1", [7, 0, 14], [2, 4, 3]), ("l2", [5, 0, 10], [math.sqrt(2), math.sqrt(8), math.sqrt(5)])],
)
def test_magnitudes_are_norms_of_what_makes_and_reads_a_channel_each_with_a_mean_of_1(
    name: str, made: list[float], read: list[float]
) -> None:
    expected = [(one / (sum(made) / 3) + other / (sum(read) / 3)) / 2 for one, other in zip(made, read, strict=True)]
    assert scores(name, Tiny()).tolist() == pytest.approx(expected)


def test_batch_norm_scales_count_by_their_size() -> None:
    mean = (0.5 + 2.0 + 0.1) / 3
    assert scores("bn_scale", Tiny()).tolist() == pytest.approx([0.5 / mean, 2.0 / mean, 0.1 / mean])


def test_the_geometric_median_sums_distances_to_the_other_filters() -> None:
    # Filters (3, 4), (0, 0), (6, −8): 5 and √153 apart, and 10; the linear layer's columns make no channel.
    sums = [5 + math.sqrt(9 + 144), 5 + 10, math.sqrt(9 + 144) + 10]
    assert scores("fpgm", Tiny()).tolist() == pytest.approx([one / (sum(sums) / 3) for one in sums])


def test_taylor_is_the_squared_change_of_the_loss_to_first_order() -> None:
    module = Tiny().double().eval()
    x = torch.randn(5, 1, 4, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    labels = torch.tensor([0, 1, 1, 0, 1])

    def loss(scale: Tensor, layer: str) -> Tensor:
        """The loss when each channel of a layer is so many times what it is."""
        other = copy.deepcopy(module)
        state = {key: value.detach() for key, value in module.state_dict().items()}
        for key in (f"{layer}.weight", f"{layer}.bias"):
            if key in state and state[key].shape[0] == 3:
                state[key] = state[key] * scale.view(-1, *[1] * (state[key].ndim - 1))
        if layer == "fc":
            state["fc.weight"] = state["fc.weight"] * scale
        return functional.cross_entropy(torch.func.functional_call(other, state, (x,)), labels)

    ones = torch.ones(3, dtype=torch.float64)
    slopes = [torch.func.grad(loss)(ones, layer) for layer in ("conv", "norm", "fc")]
    expected = sum(slope.square() for slope in slopes) / 3

    found = scores("taylor", module.requires_grad_(True), [(x, torch.eye(2, dtype=torch.float64)[labels])])
    torch.testing.assert_close(found, expected / expected.mean())


def test_taylor_averages_over_batches_and_takes_a_loss() -> None:
    torch.manual_seed(0)
    module = Tiny().requires_grad_(True)
    first, second = ((torch.randn(4, 1, 4, 4), torch.eye(2)[torch.tensor([0, 1, 0, 1])]) for _ in range(2))
    both = scores("taylor", module, [first, second])
    turned = scores("taylor", module, [second, first])
    torch.testing.assert_close(both, turned)
    assert not torch.equal(both, scores("taylor", module, [first]))
    evidence = Evidence(module, (slice(0, 2),), [first], 0)
    (hinge,) = CRITERIA.choose("taylor", {"loss": "hinge"}).scores([group_of(module)], evidence)
    assert hinge is not None
    assert not torch.equal(hinge, scores("taylor", module, [first]))


def test_random_scores_depend_on_the_seed_alone() -> None:
    one, again, other = (scores("random", Tiny(), seed=seed) for seed in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_criteria_choose_different_channels() -> None:
    network = zoo_network("grey28_small")
    batches = labelled(network)
    logits = {}
    for name in CRITERIA:
        pruned = prune(network, PruneOptions(criterion=name, scope="uniform", macs=0.6), batches, seed=3)
        logits[name] = pruned.network.module(pictures(network))
        again = prune(network, PruneOptions(criterion=name, scope="uniform", macs=0.6), batches, seed=3)
        assert torch.equal(logits[name], again.network.module(pictures(network))), name
    names = list(logits)
    assert not any(torch.equal(logits[one], logits[other]) for i, one in enumerate(names) for other in names[i + 1 :])


def test_small_scales_go_first() -> None:
    network = zoo_network("grey28")
    norm = network.module.get_submodule("blocks.2.bn1")
    with torch.no_grad():
        norm.weight.copy_(torch.linspace(0.001, 0.1, 64)[torch.randperm(64)])
    pruned = prune(network, PruneOptions(criterion="bn_scale", macs=0.8))
    left = pruned.network.module.get_submodule("blocks.2.bn1").weight
    assert len(left) < 64
    assert sorted(left.tolist()) == sorted(norm.weight.tolist())[-len(left) :]


def test_taylor_needs_labelled_batches() -> None:
    network = zoo_network("grey28")
    options = PruneOptions(criterion="taylor")
    with pytest.raises(RecipeError, match="taylor needs labelled batches"):
        prune(network, options)
    with pytest.raises(DataError, match="no labelled batch"):
        prune(network, options, [])
    with pytest.raises(DataError, match=r"as many as classes: \(2, 3\), not \(2,\)"):
        prune(network, options, [(pictures(network), torch.tensor([0, 1]))])


def test_a_criterion_without_a_word_to_say_is_refused() -> None:
    with pytest.raises(RecipeError, match="bn_scale has nothing to say"):
        prune(zoo_network("squeezenet1_1", side=64), PruneOptions(criterion="bn_scale"))


def test_weights_that_are_no_numbers_are_refused() -> None:
    network = zoo_network("grey28")
    with torch.no_grad():
        network.module.get_submodule("blocks.1.conv1").weight[0, 0, 0, 0] = math.nan
    with pytest.raises(RecipeError, match="not finite"):
        prune(network, PruneOptions())


def test_taylor_hears_every_task() -> None:
    network = zoo_network("grey28")
    module = build("grey28", 2 * len(CLASSES)).eval()
    two = replace(network, module=module, tasks=(network.tasks[0], replace(network.tasks[0], name="colour")))
    batch, rows = labelled(network, 1)[0]
    options = PruneOptions(criterion="taylor", macs=0.6)
    first = prune(two, options, [(batch, torch.cat((rows, rows * 0), 1))])
    both = prune(two, options, [(batch, torch.cat((rows, rows.flip(1)), 1))])
    assert not torch.equal(first.network.module(batch), both.network.module(batch))
