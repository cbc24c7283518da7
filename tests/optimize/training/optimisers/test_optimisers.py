"""Every optimiser of the table, against its formula in float64 and torch's plain loop."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from optimize.errors import RecipeError
from optimize.training.optimisers import OPTIMISERS

DECOUPLING = ["sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adamax"]

Array = NDArray[np.float64]


def gradients(steps: int = 6, size: int = 5) -> Array:
    return np.random.default_rng(3).normal(size=(steps, size))


def walk(name: str, settings: dict[str, object], grads: Array, dtype: torch.dtype = torch.float64) -> Array:
    """Where ones end after these gradients."""
    weight = nn.Parameter(torch.ones(grads.shape[1], dtype=dtype))
    optimiser = OPTIMISERS.choose(name, settings).build([{"params": [weight]}])
    for gradient in grads:
        weight.grad = torch.tensor(gradient, dtype=dtype)
        optimiser.step()
    return weight.detach().double().numpy()


def by_formula(step: Callable[[int, Array, Array, dict[str, Array]], Array], grads: Array) -> Array:
    """``step(t, w, g, memory)`` gives the next w; t from 1, memory's arrays begin at zero."""
    w, memory = np.ones(grads.shape[1]), {key: np.zeros(grads.shape[1]) for key in "mvu"}
    for t, g in enumerate(grads, 1):
        w = step(t, w, g, memory)
    return w


@pytest.mark.parametrize("name", list(OPTIMISERS))
class TestEveryOptimiser:
    def test_its_defaults_lower_a_bowl(self, name: str) -> None:
        weight = nn.Parameter(torch.tensor([1.0, -2.0]))
        optimiser = OPTIMISERS.choose(name).build([{"params": [weight]}])
        before = float(weight.detach().square().sum())
        for _ in range(50):
            optimiser.zero_grad()
            weight.square().sum().backward()
            optimiser.step()
        assert float(weight.detach().square().sum()) < before

    def test_groups_keep_what_they_carry(self, name: str) -> None:
        weights = [nn.Parameter(torch.ones(2, 2)), nn.Parameter(torch.ones(2))]
        settings = OPTIMISERS.choose(name, {"lr": 0.01, "weight_decay": 0.3})
        optimiser = settings.build(
            [{"params": weights[:1], "name": "trunk"}, {"params": weights[1:], "lr": 0.002, "weight_decay": 0.0}]
        )
        first, second = optimiser.param_groups
        assert (first["lr"], first["weight_decay"], first["name"]) == (0.01, 0.3, "trunk")
        assert (second["lr"], second["weight_decay"]) == (0.002, 0.0)
        assert (settings.lr, settings.weight_decay) == (0.01, 0.3)

    def test_goes_on_where_its_state_was_taken(self, name: str) -> None:
        grads = torch.tensor(gradients(), dtype=torch.float32)

        def make() -> tuple[nn.Parameter, torch.optim.Optimizer]:
            weight = nn.Parameter(torch.ones(5))
            return weight, OPTIMISERS.choose(name, {"weight_decay": 0.1}).build([{"params": [weight]}])

        def go(weight: nn.Parameter, optimiser: torch.optim.Optimizer, rows: torch.Tensor) -> None:
            for row in rows:
                weight.grad = row.clone()
                optimiser.step()

        whole, whole_optimiser = make()
        go(whole, whole_optimiser, grads)
        first, first_optimiser = make()
        go(first, first_optimiser, grads[:3])
        second, second_optimiser = make()
        second.data.copy_(first.data)
        second_optimiser.load_state_dict(first_optimiser.state_dict())
        go(second, second_optimiser, grads[3:])
        assert torch.equal(second, whole)

    def test_weights_without_a_gradient_stay(self, name: str) -> None:
        frozen, moved = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(3))
        optimiser = OPTIMISERS.choose(name, {"weight_decay": 0.5}).build([{"params": [frozen, moved]}])
        moved.grad = torch.ones(3)
        optimiser.step()
        assert torch.equal(frozen, torch.ones(3))
        assert not torch.equal(moved, torch.ones(3))

    def test_a_rate_must_be_above_nought(self, name: str) -> None:
        with pytest.raises(RecipeError, match=f"{name}.*lr"):
            OPTIMISERS.choose(name, {"lr": 0.0})


def sgd(t: int, w: Array, g: Array, memory: dict[str, Array]) -> Array:
    return w - 0.1 * (g + 0.02 * w)


def momentum(t: int, w: Array, g: Array, memory: dict[str, Array]) -> Array:
    memory["v"] = 0.8 * memory["v"] + g + 0.02 * w
    return w - 0.1 * memory["v"]


def nesterov(t: int, w: Array, g: Array, memory: dict[str, Array]) -> Array:
    gradient = g + 0.02 * w
    memory["v"] = 0.8 * memory["v"] + gradient
    return w - 0.1 * (gradient + 0.8 * memory["v"])


def adagrad(t: int, w: Array, g: Array, memory: dict[str, Array]) -> Array:
    gradient = g + 0.02 * w
    memory["v"] = memory["v"] + gradient**2
    return w - 0.1 * gradient / (np.sqrt(memory["v"]) + 1e-10)


def rmsprop(t: int, w: Array, g: Array, memory: dict[str, Array]) -> Array:
    gradient = g + 0.02 * w
    memory["v"] = 0.9 * memory["v"] + 0.1 * gradient**2
    return w - 0.1 * gradient / (np.sqrt(memory["v"]) + 1e-8)


def adam_step(t: int, gradient: Array, memory: dict[str, Array]) -> Array:
    memory["m"] = 0.9 * memory["m"] + 0.1 * gradient
    memory["v"] = 0.99 * memory["v"] + 0.01 * gradient**2
    mean, square = memory["m"] / (1 - 0.9**t), memory["v"] / (1 - 0.99**t)
    return 0.1 * mean / (np.sqrt(square) + 1e-8)


def adam(t: int, w: Array, g: Array, memory: dict[str, Array]) -> Array:
    return w - adam_step(t, g + 0.02 * w, memory)


def adamw(t: int, w: Array, g: Array, memory: dict[str, Array]) -> Array:
    return w - 0.1 * 0.02 * w - adam_step(t, g, memory)


def adamax(t: int, w: Array, g: Array, memory: dict[str, Array]) -> Array:
    gradient = g + 0.02 * w
    memory["m"] = 0.9 * memory["m"] + 0.1 * gradient
    memory["u"] = np.maximum(0.99 * memory["u"], np.abs(gradient) + 1e-8)
    return w - 0.1 / (1 - 0.9**t) * memory["m"] / memory["u"]


FORMULAS: list[tuple[str, dict[str, object], Callable[[int, Array, Array, dict[str, Array]], Array]]] = [
    ("sgd", {}, sgd),
    ("momentum", {"momentum": 0.8}, momentum),
    ("nesterov", {"momentum": 0.8}, nesterov),
    ("adagrad", {}, adagrad),
    ("rmsprop", {"alpha": 0.9}, rmsprop),
    ("adam", {"beta2": 0.99}, adam),
    ("adamw", {"beta2": 0.99}, adamw),
    ("adamax", {"beta2": 0.99}, adamax),
]


def test_every_optimiser_has_its_formula_here() -> None:
    assert [name for name, _, _ in FORMULAS] == list(OPTIMISERS)


@pytest.mark.parametrize(("name", "settings", "formula"), FORMULAS, ids=[name for name, _, _ in FORMULAS])
def test_is_its_formula(
    name: str, settings: dict[str, object], formula: Callable[[int, Array, Array, dict[str, Array]], Array]
) -> None:
    found = walk(name, {"lr": 0.1, "weight_decay": 0.02, **settings}, gradients())
    np.testing.assert_allclose(found, by_formula(formula, gradients()), rtol=1e-10)


@pytest.mark.parametrize("name", DECOUPLING)
def test_decoupled_decay_is_beside_the_step(name: str) -> None:
    """The weights shrink by lr · decay and then take the step that they take without any decay."""
    weight, shrunk = (nn.Parameter(torch.ones(5, dtype=torch.float64)) for _ in range(2))
    decayed = OPTIMISERS.choose(name, {"lr": 0.1, "weight_decay": 0.2, "decoupled": True}).build([{"params": [weight]}])
    plain = OPTIMISERS.choose(name, {"lr": 0.1, "weight_decay": 0.0}).build([{"params": [shrunk]}])
    for gradient in torch.tensor(gradients()):
        weight.grad, shrunk.grad = gradient.clone(), gradient.clone()
        decayed.step()
        shrunk.data.mul_(1 - 0.1 * 0.2)
        plain.step()
    torch.testing.assert_close(weight, shrunk, rtol=1e-14, atol=0)


@pytest.mark.parametrize("name", DECOUPLING)
def test_decoupled_decay_follows_the_rate_and_the_group(name: str) -> None:
    weight, bias = nn.Parameter(torch.ones(2, 2)), nn.Parameter(torch.ones(2))
    settings = OPTIMISERS.choose(name, {"lr": 0.1, "weight_decay": 0.2, "decoupled": True})
    optimiser = settings.build([{"params": [weight]}, {"params": [bias], "weight_decay": 0.0}])
    weight.grad, bias.grad = torch.zeros(2, 2), torch.zeros(2)
    for group in optimiser.param_groups:
        group["lr"] = 0.05
    optimiser.step()
    torch.testing.assert_close(weight.data, torch.full((2, 2), 1 - 0.05 * 0.2))
    assert torch.equal(bias, torch.ones(2))


def test_for_plain_sgd_both_kinds_of_decay_are_one() -> None:
    settings: dict[str, Any] = {"lr": 0.1, "weight_decay": 0.02}
    coupled = walk("sgd", settings, gradients())
    np.testing.assert_allclose(walk("sgd", {**settings, "decoupled": True}, gradients()), coupled, rtol=1e-12)


def test_a_step_that_the_scaler_leaves_out_does_not_decay() -> None:
    """Torch's gradient scaler tells fused optimisers of an overflow in this way, and calls ``step`` all the same."""
    weight = nn.Parameter(torch.ones(3))
    optimiser = OPTIMISERS.choose("sgd", {"weight_decay": 0.5, "decoupled": True}).build([{"params": [weight]}])
    weight.grad = torch.ones(3)
    optimiser.grad_scale, optimiser.found_inf = None, torch.tensor(1.0)  # type: ignore[attr-defined]
    optimiser.step()
    assert torch.equal(weight, torch.ones(3))


@pytest.mark.parametrize("name", ["sgd", "momentum", "nesterov", "adam", "adamw", "adagrad"])
def test_the_fused_loop_is_used(name: str) -> None:
    optimiser = OPTIMISERS.choose(name).build([{"params": [nn.Parameter(torch.ones(1))]}])
    assert optimiser.param_groups[0]["fused"] is True


@pytest.mark.parametrize("name", list(OPTIMISERS))
def test_in_float32_it_is_the_same_walk(name: str) -> None:
    exact = walk(name, {"lr": 0.01}, gradients())
    np.testing.assert_allclose(walk(name, {"lr": 0.01}, gradients(), torch.float32), exact, rtol=2e-5)


def test_settings_are_strict() -> None:
    with pytest.raises(RecipeError, match="did you mean 'momentum'"):
        OPTIMISERS.choose("nesterov", {"momentun": 0.9})
    with pytest.raises(RecipeError, match="did you mean 'rmsprop'"):
        OPTIMISERS.choose("rmspop")
