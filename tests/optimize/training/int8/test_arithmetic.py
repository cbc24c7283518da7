"""Where a network is rounded in training: where its INT8 graph is."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from model_zoo.architectures import build, input_spec, resnet
from model_zoo.export import export_onnx
from optimize.passes import load_pass
from optimize.passes.float64_operators import SAME_CODES
from optimize.training.int8 import arithmetic
from optimize.training.int8.arithmetic import Int8Arithmetic
from optimize.training.int8.rounding import round_activations, round_weights
from tests.optimize.passes.test_zoo_families import FAMILIES, SIDE

QUICK = {"grey28_small"}

# SqueezeNet's logits are a mean, which comes out of its INT8 graph as codes; what is joined has one scale there.
OTHERWISE = {"squeezenet1_1": 1, "densenet121": 2, "shufflenet_v2_x0_5": 1}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in QUICK else pytest.mark.slow) for name in FAMILIES]
)
def test_a_family_is_rounded_as_often_as_its_int8_graph(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resnet, "STAGE_CHANNELS", (8, 16, 24, 32))
    spec = input_spec(name)
    if spec.height > SIDE:
        spec = replace(spec, height=SIDE, width=SIDE)
    torch.manual_seed(0)
    arguments = {key: value for key, value in FAMILIES[name][0].items() if key != "mirrored"}
    network = build(name, 20, **arguments).eval()  # type: ignore[arg-type]
    pictures = np.random.default_rng(0).integers(0, 256, (4, spec.height, spec.width, spec.channels), np.uint8)
    smaller = load_pass("quantize_int8").run(export_onnx(network, spec), pictures, {"range_method": "min_max"})
    rounded = []

    def counted(values: Tensor) -> Tensor:
        rounded.append(values)  # kept, so that no other takes its place
        return values.clone()

    monkeypatch.setattr(arithmetic, "round_activations", counted)
    with Int8Arithmetic():
        network(torch.randn(2, spec.channels, spec.height, spec.width))
    assert abs(len(rounded) - roundings(smaller)) <= OTHERWISE.get(name, 0)


def test_weights_that_are_computed_are_rounded_as_weights_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pooling by place interpolates its weights where the map is of another size than it was trained at."""
    network, rounded, counts = build("grey28_wide", 10).eval(), [], []

    def counted(values: Tensor) -> Tensor:
        rounded.append(values)
        return values.clone()

    monkeypatch.setattr(arithmetic, "round_activations", counted)
    for side in (28, 20):
        rounded.clear()
        with Int8Arithmetic():
            network(torch.randn(3, 1, side, side))
        assert all(len(values) == 3 for values in rounded), "one row for each picture"
        counts.append(len(rounded))
    assert counts[0] == counts[1] > 0


@pytest.mark.parametrize("call", [functional.linear, functional.conv2d])
def test_a_layer_may_be_given_its_arguments_by_name(call: Callable[..., Tensor]) -> None:
    shape = (3, 4) if call is functional.linear else (3, 4, 2, 2)
    weight, x = torch.randn(shape, requires_grad=True), torch.randn(2, *shape[1:], requires_grad=True) * 1
    with Int8Arithmetic():
        expected = call(x, weight)
        assert torch.equal(call(x, weight=weight), expected)
        assert torch.equal(call(input=x, weight=weight, bias=None), expected)
    assert not torch.equal(call(x, weight), expected)


def test_a_sum_may_be_given_its_arguments_by_name() -> None:
    x, y = torch.randn(2, 2, 9, requires_grad=True).unbind()
    with Int8Arithmetic():
        expected = torch.add(x, y)
        assert torch.equal(torch.add(input=x, other=y), expected)
    assert not torch.equal(torch.add(x, y), expected)


def test_frozen_layers_before_the_first_that_learns_are_not_rounded() -> None:
    conv, x = torch.nn.Conv2d(4, 3, 3).requires_grad_(False), torch.randn(1, 4, 8, 8)
    expected = conv(x)
    with Int8Arithmetic():
        assert torch.equal(conv(x), expected)
        assert not torch.equal(conv(x * torch.ones(1, requires_grad=True)), expected)


def roundings(model: bytes) -> int:
    """Tensors that an INT8 graph makes codes of, those apart that only move codes."""
    nodes = onnx.load_from_string(model).graph.node
    makers = {name: node.op_type for node in nodes for name in node.output}
    return sum(node.op_type == "QuantizeLinear" and makers[node.input[0]] not in SAME_CODES for node in nodes)


def test_a_layer_computes_with_codes_of_both() -> None:
    x = torch.randn(2, 4, 5, 5, dtype=torch.float64).float().requires_grad_()
    conv = torch.nn.Conv2d(4, 3, 3, bias=False)
    with Int8Arithmetic():
        got = conv(x * 2)
    rounded = round_activations((x * 2).detach()).double()
    weights = round_weights(conv.weight.detach(), "any").double()
    expected = functional.conv2d(rounded, weights)
    torch.testing.assert_close(got.double(), expected, atol=1e-5, rtol=1e-5)
    got.sum().backward()
    assert conv.weight.grad is not None
    assert x.grad is not None
    assert float(x.grad.abs().sum()) > 0


def test_without_gradients_nothing_is_rounded() -> None:
    network, x = build("grey28_small", 3).eval(), torch.randn(2, 1, 28, 28)
    with torch.no_grad():
        expected = network(x)
        with Int8Arithmetic():
            got = network(x)
    assert torch.equal(got, expected)
    with Int8Arithmetic():
        assert not torch.equal(network(x), expected)


def test_a_tensor_that_changed_in_place_is_rounded_anew() -> None:
    x, weights = torch.randn(1, 8, requires_grad=True), torch.eye(8)
    with Int8Arithmetic():
        y = x * 1
        before = functional.linear(y, weights)
        y += 5.0
        after = functional.linear(y, weights)
    torch.testing.assert_close(after - before, torch.full((1, 8), 5.0), atol=0.05, rtol=0)


def test_a_first_layer_of_one_channel_is_not_taken_for_a_depthwise_one(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(arithmetic, "round_weights", lambda weight, pairs: seen.append(pairs) or weight)
    x = torch.randn(2, 1, 5, 5, requires_grad=True)
    with Int8Arithmetic():
        y = functional.conv2d(x, torch.randn(4, 1, 3, 3))
        functional.conv2d(y, torch.randn(4, 1, 3, 3), None, 1, 1, 1, 4)
        functional.conv2d(y, torch.randn(4, 1, 3, 3), groups=4)
        functional.conv2d(y, torch.randn(4, 4, 1, 1))
    assert seen == ["any", "free", "free", "adjacent"]
