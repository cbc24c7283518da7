"""``Ema`` against the recurrence in float64."""

import copy

import pytest
import torch
from torch import Tensor, nn

from optimize.errors import CheckpointError
from optimize.training.ema import Ema


def small_net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(3 * 4, 2))


def shake(network: nn.Module, seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in (*network.parameters(), *network.buffers()):
            if tensor.is_floating_point():
                tensor.add_(torch.rand(tensor.shape, generator=draw))
            else:
                tensor.add_(1)


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.99])
def test_is_the_recurrence_with_its_ramp(decay: float) -> None:
    network = small_net()
    ema = Ema(network, decay)
    expected = {key: value.double() for key, value in copy.deepcopy(network.state_dict()).items()}
    for t in range(30):
        shake(network, t)
        ema.update()
        keep = min(decay, (1 + t) / (10 + t))
        for key, value in network.state_dict().items():
            expected[key] = keep * expected[key] + (1 - keep) * value.double()
    for key, value in ema.network.state_dict().items():
        wanted = network.state_dict()[key] if not value.is_floating_point() else expected[key].float()
        torch.testing.assert_close(value, wanted, rtol=1e-5, atol=1e-6)
    assert ema.updates == 30


def test_of_a_network_that_stays_nothing_moves() -> None:
    network = small_net()
    ema = Ema(network, 0.9)
    for _ in range(5):
        ema.update()
    for key, value in ema.network.state_dict().items():
        assert torch.equal(value, network.state_dict()[key])


def test_the_copy_is_for_judging() -> None:
    network = small_net().train()
    ema = Ema(network, 0.9)
    assert not ema.network.training
    assert not any(parameter.requires_grad for parameter in ema.network.parameters())
    assert network.training
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_memory_format_is_kept() -> None:
    network = small_net().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    ema = Ema(network, 0.9)
    ema.update()
    weight: Tensor = next(ema.network.parameters())
    assert weight.stride() == next(network.parameters()).stride()


def test_goes_on_where_its_state_was_taken() -> None:
    def go(ema: Ema, network: nn.Module, steps: range) -> None:
        for t in steps:
            shake(network, t)
            ema.update()

    network = small_net()
    whole = Ema(network, 0.99)
    go(whole, network, range(8))

    network = small_net()
    first = Ema(network, 0.99)
    go(first, network, range(5))
    second = Ema(network, 0.99)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    go(second, network, range(5, 8))
    for key, value in whole.network.state_dict().items():
        assert torch.equal(value, second.network.state_dict()[key])


def test_a_checkpoint_of_another_network_is_refused() -> None:
    ema = Ema(small_net(), 0.9)
    with pytest.raises(CheckpointError, match="another network"):
        ema.load_state_dict(Ema(nn.Linear(2, 2), 0.9).state_dict())
    with pytest.raises(CheckpointError, match="another network"):
        ema.load_state_dict({})


@pytest.mark.parametrize("decay", [-0.1, 1.0])
def test_a_decay_that_is_none_is_refused(decay: float) -> None:
    with pytest.raises(ValueError, match="decay"):
        Ema(small_net(), decay)


def test_a_tensor_that_is_replaced_is_followed() -> None:
    """``module.to(…)`` makes new buffers."""
    network = small_net()
    ema = Ema(network, 0.0)
    norm = network[1]
    assert isinstance(norm, nn.BatchNorm2d)
    norm.running_mean = torch.full((3,), 5.0)
    for _ in range(2):
        ema.update()
    assert torch.equal(dict(ema.network.named_buffers())["1.running_mean"], torch.full((3,), 5.0))


def test_a_tensor_that_two_layers_share_moves_once() -> None:
    network = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    network[1].weight = network[0].weight
    ema = Ema(network, 0.5)
    start = network[0].weight.detach().clone()
    shake(network, 0)
    ema.update()
    keep = 1 / 10
    torch.testing.assert_close(ema.network.get_parameter("0.weight"), keep * start + (1 - keep) * network[0].weight)
    assert ema.network.get_parameter("1.weight") is ema.network.get_parameter("0.weight")
