"""Every network of the zoo, taken apart."""

import pytest
import torch
from torch import nn

from model_zoo.architectures import ARCHITECTURES, build, input_spec
from optimize.errors import RecipeError
from optimize.training.network.head import copy_rows, head
from optimize.training.network.stages import stages
from optimize.training.tasks.soft_sharing import SoftSharing

EVERY = pytest.mark.parametrize("name", ARCHITECTURES)


def on_meta(name: str, num_classes: int = 10) -> nn.Module:
    """The network without memory for its weights."""
    with torch.device("meta"):
        return build(name, num_classes).eval()


@EVERY
def test_every_parameter_is_in_exactly_one_stage(name: str) -> None:
    module = on_meta(name)
    names = [key for stage in stages(module) for key, _ in stage.named_parameters()]
    assert sorted(names) == sorted(key for key, _ in module.named_parameters())


@EVERY
def test_every_module_with_a_mode_is_in_a_stage(name: str) -> None:
    """What is frozen must be frozen whole: no batch norm and no dropout is left out."""
    module = on_meta(name)
    inside = {id(part) for stage in stages(module) for top in stage.modules.values() for part in top.modules()}
    moody = [part for part in module.modules() if isinstance(part, nn.BatchNorm2d | nn.Dropout)]
    assert [part for part in moody if id(part) not in inside] == []


@EVERY
def test_stages_are_in_the_order_of_the_data(name: str) -> None:
    module, spec = on_meta(name), input_spec(name)
    parts = stages(module)
    seen: list[int] = []
    for number, stage in enumerate(parts):
        for part in stage.modules.values():
            if any(True for _ in part.parameters()):
                part.register_forward_pre_hook(lambda *_, number=number: seen.append(number))
    module(torch.empty(2, spec.channels, spec.height, spec.width, device="meta"))
    assert seen == sorted(seen)
    assert set(seen) == set(range(len(parts)))


@EVERY
def test_the_head_is_the_layer_that_gives_the_classes(name: str) -> None:
    module = on_meta(name, 7)
    last = head(module)
    assert last.classes == 7
    assert last.keys == (f"{last.name}.weight", f"{last.name}.bias")
    head_parameters = {key for key, _ in stages(module)[-1].named_parameters()}
    assert set(last.keys) <= head_parameters


@pytest.mark.parametrize(("name", "number"), [("efficientnet_lite0", 10), ("resnet18", 6), ("grey28", 5)])
def test_known_numbers_of_stages(name: str, number: int) -> None:
    assert len(stages(on_meta(name))) == number


def test_dropout_before_the_last_layer_belongs_to_the_head() -> None:
    assert list(stages(on_meta("resnet18"))[-1].modules) == ["dropout", "fc"]


def test_a_parameter_of_the_network_itself_belongs_to_the_first_stage() -> None:
    class WithToken(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.patches = nn.Conv2d(3, 4, 2)
            self.fc = nn.Linear(4, 2)
            self.token = nn.Parameter(torch.zeros(4))

    first, last = stages(WithToken())
    assert [key for key, _ in first.named_parameters()] == ["token", "patches.weight", "patches.bias"]
    assert last.name == "head"


def test_trunks_side_by_side_have_their_stages_together() -> None:
    module = SoftSharing([on_meta("grey28", 2), on_meta("grey28", 3)])
    parts = stages(module)
    assert len(parts) == 5
    assert list(parts[0].modules) == ["networks.0.stem", "networks.1.stem"]
    names = [key for stage in parts for key, _ in stage.named_parameters()]
    assert sorted(names) == sorted(key for key, _ in module.named_parameters())


def test_a_single_layer_has_no_stages() -> None:
    with pytest.raises(RecipeError, match="one piece"):
        stages(nn.Sequential(nn.Linear(2, 2)))


def test_a_network_without_a_linear_layer_has_no_head() -> None:
    with pytest.raises(RecipeError, match="no linear layer"):
        head(nn.Sequential(nn.ReLU()))


def test_rows_are_taken_of_the_heads_tensors_alone() -> None:
    state = {"fc.weight": torch.arange(6).reshape(3, 2), "conv.weight": torch.zeros(3)}
    taken = copy_rows(state, ("fc.weight",), (2, 0))
    assert taken["fc.weight"].tolist() == [[4, 5], [0, 1]]
    assert len(taken["conv.weight"]) == 3
