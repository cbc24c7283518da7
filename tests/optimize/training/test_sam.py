"""``Sam`` against its formula in float64."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from optimize.training.optimisers import OPTIMISERS
from optimize.training.sam import Sam


def small_net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3)).double()


def batch(n: int = 12) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(1)
    return torch.randn(n, 4, generator=draw, dtype=torch.float64), torch.randint(3, (n,), generator=draw)


def loss_of(network: nn.Module) -> Tensor:
    inputs, labels = batch()
    return cross_entropy(network(inputs), labels)


def flat(network: nn.Module) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in network.parameters()])


def flat_gradient(network: nn.Module) -> Tensor:
    return torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None])


@pytest.mark.parametrize("scale", [1.0, 65536.0])
def test_climbs_as_the_paper_says(scale: float) -> None:
    """Whatever the loss is scaled by: only the direction counts."""
    network = small_net()
    (scale * loss_of(network)).backward()
    weights, gradient = flat(network), flat_gradient(network)
    with Sam(network, 0.1).climbed():
        torch.testing.assert_close(flat(network), weights + 0.1 * gradient / gradient.norm(), rtol=1e-6, atol=1e-9)
        assert all(parameter.grad is None for parameter in network.parameters())
    assert torch.equal(flat(network), weights)


def test_the_second_gradients_are_those_of_the_top() -> None:
    network = small_net()
    loss_of(network).backward()
    with Sam(network, 0.05).climbed():
        top = loss_of(network)
        top.backward()
        expected = torch.autograd.grad(loss_of(network), list(network.parameters()))
    assert top > loss_of(network)
    torch.testing.assert_close(flat_gradient(network), torch.cat([one.flatten() for one in expected]))


def test_what_learns_outside_the_network_stays_and_steps_by_the_second_gradients_alone() -> None:
    network, other = small_net(), nn.Linear(3, 1).double()
    inputs, labels = batch()

    def loss() -> Tensor:
        logits = network(inputs)
        return cross_entropy(logits, labels) + other(logits).square().mean()

    loss().backward()
    before = flat(other)
    with Sam(network, 0.05, others=list(other.parameters())).climbed():
        assert torch.equal(flat(other), before)
        loss().backward()
        expected = torch.autograd.grad(loss(), list(other.parameters()))
    torch.testing.assert_close(flat_gradient(other), torch.cat([one.flatten() for one in expected]))


def test_gradients_may_be_accumulated() -> None:
    inputs, labels = batch()
    whole, parts = small_net(), small_net()
    loss_of(whole).backward()
    with Sam(whole).climbed():
        loss_of(whole).backward()

    def both_halves() -> None:
        for half in (slice(0, 6), slice(6, 12)):
            (cross_entropy(parts(inputs[half]), labels[half]) / 2).backward()

    both_halves()
    with Sam(parts).climbed():
        both_halves()
    torch.testing.assert_close(flat_gradient(parts), flat_gradient(whole))


@pytest.mark.parametrize("name", ["sgd", "nesterov", "adamw", "rmsprop"])
def test_any_optimiser_steps_from_where_the_weights_were(name: str) -> None:
    """A step by hand, from the saved weights and the gradients at the top, ends at the same place."""
    network, by_hand = small_net(), small_net()
    optimiser = OPTIMISERS.choose(name).build([{"params": list(network.parameters())}])
    loss_of(network).backward()
    with Sam(network).climbed():
        loss_of(network).backward()
    for parameter, theirs in zip(by_hand.parameters(), network.parameters(), strict=True):
        assert theirs.grad is not None
        parameter.grad = theirs.grad.clone()
    optimiser.step()
    OPTIMISERS.choose(name).build([{"params": list(by_hand.parameters())}]).step()
    torch.testing.assert_close(flat(network), flat(by_hand), rtol=1e-12, atol=0)
    assert loss_of(network) < loss_of(small_net())


def test_weights_come_back_after_an_error() -> None:
    network = small_net()
    before = flat(network)
    loss_of(network).backward()
    with pytest.raises(KeyError), Sam(network).climbed():
        raise KeyError("stop")
    assert torch.equal(flat(network), before)


def test_gradients_that_overflowed_do_not_move_it() -> None:
    network = small_net()
    loss_of(network).backward()
    first = next(network.parameters())
    assert first.grad is not None
    first.grad[0, 0] = torch.inf
    before = flat(network)
    with Sam(network).climbed():
        assert torch.equal(flat(network), before)


def test_frozen_weights_and_flat_places_stay() -> None:
    network = small_net()
    with Sam(network).climbed():
        pass
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    before = flat(network)
    with Sam(network).climbed():
        assert torch.equal(flat(network), before)


def test_batch_norm_learns_nothing_at_the_top() -> None:
    network = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    inputs = torch.randn(8, 4)
    network(inputs).square().sum().backward()
    before = {key: value.clone() for key, value in network.named_buffers()}
    with Sam(network).climbed():
        network(inputs).square().sum().backward()
    assert all(torch.equal(value, before[key]) for key, value in network.named_buffers())


def test_a_radius_must_be_above_nought() -> None:
    with pytest.raises(ValueError, match="rho"):
        Sam(small_net(), 0.0)
