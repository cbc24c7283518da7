"""Every plan: which stages it freezes when, and that what is frozen is frozen and costs no backward pass."""

from collections.abc import Callable, Mapping

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.autograd.graph import Node

from optimize.errors import RecipeError
from optimize.training.network.network import Network
from optimize.training.network.stages import stages
from optimize.training.transfer import PLANS
from tests.optimize.training.network.small import grey_pictures, small_network

STAGES = 5  # of the small network

# Settings that a plan can't do without.
SETTINGS: Mapping[str, dict[str, object]] = {"partial": {"stages": 2}}

EVERY = pytest.mark.parametrize("name", list(PLANS))


def graph_size(loss: torch.Tensor) -> int:
    """How many operations autograd would go back through."""
    seen: set[Node] = set()
    waiting = [loss.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is not None and node not in seen:
            seen.add(node)
            waiting.extend(previous for previous, _ in node.next_functions)
    return len(seen)


def one_step(network: Network) -> dict[str, bool]:
    """An SGD step on noise: state-dict name → whether it changed."""
    before = {key: value.clone() for key, value in network.module.state_dict().items()}
    trained = [parameter for parameter in network.module.parameters() if parameter.requires_grad]
    optimiser = torch.optim.SGD(trained, lr=0.1)
    network.module(grey_pictures(8)).square().sum().backward()
    optimiser.step()
    return {key: not torch.equal(before[key], value) for key, value in network.module.state_dict().items()}


@EVERY
@given(stages=st.integers(3, 40), epochs=st.integers(1, 50))
def test_frozen_stages_become_fewer_and_the_head_always_trains(name: str, stages: int, epochs: int) -> None:
    plan = PLANS.choose(name, SETTINGS.get(name))
    frozen = [plan.frozen(stages, epoch, epochs) for epoch in range(epochs)]
    assert frozen == sorted(frozen, reverse=True)
    assert all(0 <= number < stages for number in frozen)
    assert plan.ever_trained(stages, epochs) == range(frozen[-1], stages)


@EVERY
def test_a_step_changes_what_trains_and_nothing_else(name: str) -> None:
    network = small_network(dropout=0.5)
    frozen = PLANS.choose(name, SETTINGS.get(name)).begin_epoch(network, 0, 4)
    changed = one_step(network)
    parts = stages(network.module)
    for number, stage in enumerate(parts):
        keys = [key for key in changed if any(key.startswith(f"{part}.") for part in stage.modules)]
        assert keys
        assert all(changed[key] == (number >= frozen) for key in keys), stage.name


@EVERY
def test_a_frozen_stage_behaves_as_in_evaluation(name: str) -> None:
    network = small_network(dropout=0.5)
    frozen = PLANS.choose(name, SETTINGS.get(name)).begin_epoch(network, 0, 4)
    modes = [
        {part.training for top in stage.modules.values() for part in top.modules()} for stage in stages(network.module)
    ]
    assert modes == [{False}] * frozen + [{True}] * (STAGES - frozen)


@EVERY
def test_an_epoch_depends_on_its_number_alone(name: str) -> None:
    """A run that is continued freezes what it would have frozen."""
    plan = PLANS.choose(name, SETTINGS.get(name))
    straight, continued = small_network(), small_network()
    for epoch in range(3):
        plan.begin_epoch(straight, epoch, 6)
    plan.begin_epoch(continued, 2, 6)
    flags = [
        [parameter.requires_grad for parameter in network.module.parameters()] for network in (straight, continued)
    ]
    assert flags[0] == flags[1]


def test_autograd_records_nothing_of_frozen_stages() -> None:
    """The graph of a step with k frozen stages is that of the later stages alone."""
    sizes = []
    for frozen in range(STAGES):
        network = small_network()
        PLANS.choose("partial", {"stages": frozen}).begin_epoch(network, 0, 1)
        parts = stages(network.module)
        first = next(iter(parts[frozen].modules.values()))
        entered: list[bool] = []
        first.register_forward_pre_hook(lambda _, inputs, entered=entered: entered.append(inputs[0].requires_grad))
        sizes.append(graph_size(network.module(grey_pictures()).sum()))
        assert entered == [False]
    assert sizes == sorted(set(sizes), reverse=True)
    assert sizes[-1] < 12


def test_backward_reaches_no_frozen_module() -> None:
    network = small_network()
    PLANS.choose("partial", {"stages": 3}).begin_epoch(network, 0, 1)
    reached: set[str] = set()

    def watch(name: str) -> Callable[[nn.Module, object, torch.Tensor], None]:
        def on_output(_: nn.Module, __: object, output: torch.Tensor) -> None:
            if output.requires_grad:
                output.register_hook(lambda _: reached.add(name))

        return on_output

    for stage in stages(network.module):
        for part in (one for top in stage.modules.values() for one in top.modules()):
            part.register_forward_hook(watch(stage.name))
    network.module(grey_pictures()).sum().backward()
    assert reached == {"blocks.2", "head"}


def test_gradual_opens_evenly_from_the_head() -> None:
    plan = PLANS.choose("gradual", {"until": 0.5})
    assert [plan.frozen(5, epoch, 10) for epoch in range(10)] == [4, 3, 2, 1, 0, 0, 0, 0, 0, 0]
    assert [PLANS.choose("gradual", {"until": 1.0}).frozen(5, epoch, 3) for epoch in range(3)] == [4, 2, 0]


def test_gradual_may_keep_the_first_stages() -> None:
    plan = PLANS.choose("gradual", {"until": 0.5, "keep_frozen": 2})
    assert [plan.frozen(5, epoch, 10) for epoch in range(6)] == [4, 3, 3, 2, 2, 2]


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("partial", {"stages": 5}, "freezes everything; this network has 5, so at most 4"),
        ("gradual", {"keep_frozen": 5}, "freezes everything; this network has 5 stages, so at most 4"),
    ],
)
def test_a_plan_that_leaves_nothing_to_train(name: str, settings: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        PLANS.choose(name, settings).begin_epoch(small_network(), 0, 4)


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("ful", {}, "did you mean 'full'"),
        ("full", {"layer_decy": 0.9}, "did you mean 'layer_decay'"),
        ("full", {"layer_decay": 1.5}, "less than or equal to 1"),
        ("partial", {}, "stages: Field required"),
    ],
)
def test_a_recipe_that_says_it_wrong(name: str, settings: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        PLANS.choose(name, settings)


def test_only_the_head_alone_may_cache_features() -> None:
    assert PLANS.choose("head", {"cached": True}).caches_features
    assert not PLANS.choose("head").caches_features
    assert not PLANS.choose("full").caches_features


def test_soft_sharing_freezes_all_trunks_together() -> None:
    from tests.optimize.training.network.small import ANIMALS, COLOURS

    network = small_network(ANIMALS, COLOURS, sharing="soft")
    PLANS.choose("head").begin_epoch(network, 0, 1)
    trained = {key for key, parameter in network.module.named_parameters() if parameter.requires_grad}
    assert trained == {f"networks.{number}.classifier.{key}" for number in (0, 1) for key in ("weight", "bias")}
