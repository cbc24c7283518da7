"""Layers that share their weights: side by side where that can be, in the same order where nothing is shared."""

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from optimize.judging.arithmetic import open_model
from optimize.passes import load_pass
from optimize.passes.float_graph import read_float_graph
from optimize.passes.shared_weights import side_by_side
from tests.optimize.small_nets import make_model, pictures, residual_net


def _weights() -> dict[str, NDArray[np.generic]]:
    draw = np.random.default_rng(0)
    return {
        "one.weight": (draw.standard_normal((3, 3, 3, 3)) * 0.4).astype(np.float32),
        "one.bias": draw.standard_normal(3).astype(np.float32),
        "head.weight": draw.standard_normal((5, 3)).astype(np.float32),
        "head.bias": draw.standard_normal(5).astype(np.float32),
        "two": np.array([2.0], np.float32),
        **{name: np.array([value], np.int64) for name, value in {"s": -1, "e": -(2**63), "a": 3}.items()},
    }


def _conv(source: str, target: str) -> onnx.NodeProto:
    inputs = [source, "one.weight", "one.bias"]
    return helper.make_node("Conv", inputs, [target], target, pads=[1, 1, 1, 1], kernel_shape=[3, 3])


def _pooled(source: str, target: str) -> onnx.NodeProto:
    return helper.make_node("GlobalAveragePool", [source], [target], target)


def twice() -> bytes:
    """One pass over the mirror image from end to end, then one over the picture, halved."""
    nodes = [
        helper.make_node("Slice", ["x", "s", "e", "a", "s"], ["m"], "mirror"),
        _conv("m", "c"),
        helper.make_node("Relu", ["c"], ["r"], "relu"),
        _pooled("r", "p"),
        _conv("x", "d"),
        helper.make_node("Relu", ["d"], ["q"], "relu_2"),
        _pooled("q", "o"),
        helper.make_node("Add", ["p", "o"], ["sum"], "sum"),
        helper.make_node("Div", ["sum", "two"], ["mean_of_both"], "halve"),
        helper.make_node("Flatten", ["mean_of_both"], ["flat"], "flatten", axis=1),
    ]
    return make_model(nodes, _weights(), "flat")


def in_a_row() -> bytes:
    """The same convolution on what it gave."""
    nodes = [_conv("x", "c"), _conv("c", "d"), _pooled("d", "p"), helper.make_node("Flatten", ["p"], ["flat"], axis=1)]
    return make_model(nodes, _weights(), "flat")


def _order(model: bytes) -> list[tuple[str, ...]]:
    graph = read_float_graph(model)
    return [tuple(step.output for step in steps) for steps in side_by_side(graph.steps, graph.input.first)]


def test_uses_come_together_and_nothing_before_what_it_needs() -> None:
    order = _order(twice())
    assert ("r", "q") in order
    flat = [name for names in order for name in names]
    assert sorted(flat) == sorted(step.output for step in read_float_graph(twice()).steps)
    made = {"x"}
    steps = {step.output: step for step in read_float_graph(twice()).steps}
    for names in order:
        assert all(made.issuperset(steps[name].sources) for name in names)
        made.update(names)


def test_the_order_stays_where_nothing_is_shared() -> None:
    steps = read_float_graph(residual_net()).steps
    assert _order(residual_net()) == [(step.output,) for step in steps]


def test_a_use_that_follows_from_another_is_taken_by_itself() -> None:
    assert _order(in_a_row())[:2] == [("c",), ("d",)]


def _codes(model: bytes, allowed: float) -> list[NDArray[np.generic]]:
    """The shared convolution's codes, for each use, of a quantised model that answers as before."""
    smaller = load_pass("quantize_int8").run(model, pictures(32), {})
    unseen = pictures(64, seed=1)
    expected, got = (open_model(one, "reference")(unseen) for one in (model, smaller))
    assert np.sqrt(((got - expected) ** 2).mean()) < allowed * expected.std()
    np.testing.assert_array_equal(*(open_model(smaller, one)(unseen) for one in ("fast", "exact")))
    found = onnx.load_from_string(smaller).graph.initializer
    return [numpy_helper.to_array(one) for one in found if one.name.endswith("one.weight/codes")]


def test_shared_weights_are_rounded_once() -> None:
    first, second = _codes(twice(), 0.04)
    np.testing.assert_array_equal(first, second)


def test_weights_rounded_by_themselves_have_codes_of_their_own() -> None:
    first, second = _codes(in_a_row(), 0.1)  # its pooled values are small beside what is pooled
    assert (first != second).any()


def test_a_product_by_a_constant_costs_nothing() -> None:
    smaller = load_pass("quantize_int8").run(twice(), pictures(8), {})
    assert not {"Div", "Mul"} & {node.op_type for node in onnx.load_from_string(smaller).graph.node}


def test_folding_keeps_each_uses_codes() -> None:
    """ONNX Runtime opens no graph that shares them, when it is told to sum exactly."""
    smaller = load_pass("quantize_int8").run(twice(), pictures(8), {})
    folded = load_pass("fold").run(smaller, pictures(0), {})
    unseen = pictures(16, seed=1)
    for arithmetic in ("fast", "exact"):
        np.testing.assert_array_equal(*(open_model(one, arithmetic)(unseen) for one in (smaller, folded)))
