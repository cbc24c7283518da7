"""Which layers are picked."""

import pytest
import torch
from torch import nn

from model_zoo.architectures import build
from optimize.errors import RecipeError
from optimize.training.terms.layers import output_shapes, pick_layer, stage_ends
from tests.optimize.training.terms.steps import SmallNet, student


def shapes_of(network: nn.Module, *size: int) -> dict[str, torch.Size]:
    example = torch.zeros(size)
    return output_shapes(network, lambda: network(example))


def test_stages_end_where_maps_get_smaller() -> None:
    shapes = shapes_of(student(), 2, 1, 16, 16)
    assert stage_ends(shapes) == ["stem", "middle", "last"]
    assert shapes["last"] == (2, 9, 4, 4)
    assert [pick_layer(f"stage:{n}", shapes, "student") for n in (0, 1, -1)] == ["stem", "middle", "last"]


@pytest.mark.parametrize(
    ("name", "size", "sides"),
    [
        ("grey28", (2, 1, 28, 28), [28, 14, 7]),
        ("efficientnet_lite0", (2, 3, 64, 64), [32, 16, 8, 4, 2]),
        ("mobilenet_v3_small", (2, 3, 64, 64), [32, 16, 8, 4, 2]),
        ("resnet18", (2, 3, 64, 64), [32, 16, 8, 4, 2]),
        ("densenet121", (2, 3, 64, 64), [32, 16, 8, 4, 2]),
    ],
)
def test_stages_of_the_zoo(name: str, size: tuple[int, ...], sides: list[int]) -> None:
    shapes = shapes_of(build(name, 10), *size)
    assert [shapes[end][2] for end in stage_ends(shapes)] == sides


def test_looking_changes_nothing() -> None:
    network = student()
    network.stem.eval()
    modes = [module.training for module in network.modules()]
    before = {key: value.clone() for key, value in network.state_dict().items()}
    shapes_of(network, 2, 1, 16, 16)
    assert [module.training for module in network.modules()] == modes
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert not any(module._forward_hooks for module in network.modules())


def test_looking_leaves_no_hook_behind_an_error() -> None:
    network = student()
    with pytest.raises(RuntimeError):
        shapes_of(network, 2, 5, 16, 16)
    assert network.training
    assert not any(module._forward_hooks for module in network.modules())


def test_a_layer_may_be_named() -> None:
    shapes = shapes_of(student(), 2, 1, 16, 16)
    assert pick_layer("middle.0", shapes, "student") == "middle.0"
    assert pick_layer("head", shapes, "student") == "head"


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ("midle", "did you mean 'middle'"),
        ("stage:3", "has 3 stages"),
        ("stage:-4", "has 3 stages"),
    ],
)
def test_what_is_not_there_is_refused(wanted: str, said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        pick_layer(wanted, shapes_of(student(), 2, 1, 16, 16), "student")


def test_tokens_are_no_map() -> None:
    with pytest.raises(RecipeError, match="neither maps nor vectors"):
        pick_layer("0", shapes_of(nn.Sequential(nn.Flatten(2), nn.Flatten()), 2, 1, 4, 4), "student")


def test_a_net_without_maps_has_no_stages() -> None:
    shapes = shapes_of(nn.Sequential(nn.Flatten(), nn.Linear(16, 2)), 2, 1, 4, 4)
    with pytest.raises(RecipeError, match="has 0 stages"):
        pick_layer("stage:-1", shapes, "teacher")
    assert isinstance(student(), SmallNet)
