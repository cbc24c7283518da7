"""Penalties against sums in float64, and against what they do to a step."""

import numpy as np
import pytest
import torch
from torch import nn

from model_zoo.architectures import build
from optimize.training.optimisers import OPTIMISERS
from optimize.training.step import Term
from optimize.training.terms import TERMS
from optimize.training.terms.penalties import penalised
from tests.optimize.training.terms.steps import context, random_logits, step_of, student


def term(name: str, network: nn.Module, **settings: float) -> Term:
    return TERMS.choose(name, settings).build(context(network, None))


def weights_of(network: nn.Module) -> list[np.ndarray]:
    """Of convolutions and linear layers, found by their types."""
    layers = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    return [layer.weight.detach().double().numpy() for layer in layers]


STEP = step_of(random_logits().float())


def test_l1_is_the_sum_of_sizes() -> None:
    network = student()
    expected = sum(np.abs(weight).sum() for weight in weights_of(network))
    assert term("l1", network)(STEP).item() == pytest.approx(expected, rel=1e-5)


def test_l2_is_half_the_sum_of_squares() -> None:
    network = student()
    expected = sum((weight**2).sum() for weight in weights_of(network)) / 2
    assert term("l2", network)(STEP).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("ratio", [0.0, 0.3, 1.0])
def test_elastic_net_lies_between(ratio: float) -> None:
    network = student()
    expected = ratio * term("l1", network)(STEP) + (1 - ratio) * term("l2", network)(STEP)
    assert term("elastic_net", network, l1_ratio=ratio)(STEP).item() == pytest.approx(expected.item(), rel=1e-6)


@pytest.mark.parametrize("name", ["grey28", "mobilenet_v3_small", "efficientnet_lite0"])
def test_norms_and_biases_are_left_out(name: str) -> None:
    network = build(name, 10)
    layers = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert {id(p) for p in penalised(network)} == {id(layer.weight) for layer in layers}


def test_gradients_are_the_signs_and_the_weights() -> None:
    network = student()
    (term("l1", network)(STEP) + 3 * term("l2", network)(STEP)).backward()
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            assert layer.weight.grad is not None
            torch.testing.assert_close(layer.weight.grad, layer.weight.detach().sign() + 3 * layer.weight.detach())
            assert layer.bias is None or layer.bias.grad is None


def test_l2_with_plain_sgd_is_weight_decay() -> None:
    network, decayed = student(), student()
    OPTIMISERS.choose("sgd", {"lr": 0.1})
    optimiser = OPTIMISERS.choose("sgd", {"lr": 0.1}).build([{"params": list(penalised(network))}])
    (0.02 * term("l2", network)(STEP)).backward()
    optimiser.step()
    other = OPTIMISERS.choose("sgd", {"lr": 0.1, "weight_decay": 0.02}).build([{"params": list(penalised(decayed))}])
    for weight in penalised(decayed):
        weight.grad = torch.zeros_like(weight)
    other.step()
    for ours, theirs in zip(penalised(network), penalised(decayed), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_frozen_weights_do_not_count() -> None:
    network = student()
    one = term("l1", network)
    network.requires_grad_(False)
    assert one(STEP).item() == 0
    network.head.weight.requires_grad_()
    assert one(STEP).item() == pytest.approx(network.head.weight.abs().sum().item(), rel=1e-6)


def test_weights_at_nought_have_a_gradient() -> None:
    network = student()
    with torch.no_grad():
        for weight in penalised(network):
            weight.zero_()
    (term("elastic_net", network)(STEP)).backward()
    assert all(weight.grad is not None and bool((weight.grad == 0).all()) for weight in penalised(network))


def test_half_precision_weights_do_not_overflow() -> None:
    network = nn.Linear(300, 300).half()
    nn.init.constant_(network.weight, 2.0)
    assert term("l1", network)(STEP).item() == pytest.approx(180_000)
    assert term("l2", network)(STEP).item() == pytest.approx(180_000)
