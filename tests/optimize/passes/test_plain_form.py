"""The plain form says what the graph said, in fewer operators."""

from collections import Counter

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from optimize.errors import PassError
from optimize.judging.arithmetic import open_model
from optimize.passes.plain_form import plain_form
from tests.optimize.small_nets import make_model, pictures, residual_net


def _numbers(seed: int, *shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).uniform(0.2, 1.0, shape).astype(np.float32)


def _norm(source: str, target: str, name: str) -> onnx.NodeProto:
    names = [source, *(f"{name}.{one}" for one in ("weight", "bias", "mean", "var"))]
    return helper.make_node("BatchNormalization", names, [target], target, epsilon=1e-3)


def _parameters(name: str, channels: int, seed: int = 5) -> dict[str, NDArray[np.generic]]:
    return {f"{name}.{one}": _numbers(seed + i, channels) for i, one in enumerate(("weight", "bias", "mean", "var"))}


def _model(nodes: list[onnx.NodeProto], constants: dict[str, NDArray[np.generic]], features: int) -> bytes:
    head = {"head.weight": _numbers(1, 5, features), "head.bias": _numbers(2, 5)}
    return make_model(nodes, {**head, **constants}, "flat")


def _flat(source: str) -> list[onnx.NodeProto]:
    return [
        helper.make_node("GlobalAveragePool", [source], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
    ]


WEIGHTS = {"conv.weight": _numbers(3, 4, 3, 3, 3), "conv.bias": _numbers(4, 4)}
PADDED = {"pads": [1, 1, 1, 1], "kernel_shape": [3, 3]}

GRAPHS: dict[str, tuple[bytes, set[str]]] = {
    "a norm after a convolution": (
        _model(
            [
                helper.make_node("Conv", ["x", "conv.weight"], ["c"], **PADDED),
                _norm("c", "n", "bn"),
                *_flat("n"),
            ],
            {**WEIGHTS, **_parameters("bn", 4)},
            4,
        ),
        {"BatchNormalization"},
    ),
    "a convolution that serves twice, each time normed": (
        _model(
            [
                helper.make_node("Conv", ["x", "conv.weight", "conv.bias"], ["c"], **PADDED),
                _norm("c", "n", "bn"),
                helper.make_node("Relu", ["x"], ["y"]),
                helper.make_node("Conv", ["y", "conv.weight", "conv.bias"], ["d"], **PADDED),
                _norm("d", "m", "bn"),
                helper.make_node("Add", ["n", "m"], ["sum"]),
                *_flat("sum"),
            ],
            {**WEIGHTS, **_parameters("bn", 4)},
            4,
        ),
        {"BatchNormalization"},
    ),
    "a norm of what others use too": (
        _model(
            [
                helper.make_node("Conv", ["x", "conv.weight", "conv.bias"], ["c"], **PADDED),
                _norm("c", "n", "bn"),
                helper.make_node("Add", ["n", "c"], ["sum"]),
                *_flat("sum"),
            ],
            {**WEIGHTS, **_parameters("bn", 4)},
            4,
        ),
        {"BatchNormalization"},
    ),
    "norms of rows, after a pooling and after one another": (
        _model(
            [
                helper.make_node("GlobalAveragePool", ["x"], ["pooled"]),
                helper.make_node("Flatten", ["pooled"], ["rows"]),
                _norm("rows", "n", "bn"),
                _norm("n", "flat", "other"),
            ],
            {**_parameters("bn", 3), **_parameters("other", 3, seed=9)},
            3,
        ),
        {"BatchNormalization"},
    ),
    "splits without names": (
        _model(
            [
                helper.make_node("Split", ["x", "sizes"], ["p", "q"], axis=1),
                helper.make_node("Split", ["x", "turned_sizes"], ["r", "s"], axis=1),
                helper.make_node("Add", ["q", "r"], ["sum"]),
                *_flat("sum"),
            ],
            {"sizes": np.array([1, 2], np.int64), "turned_sizes": np.array([2, 1], np.int64)},
            2,
        ),
        {"Split"},
    ),
    "a mean and nothing": (
        _model(
            [
                helper.make_node("Identity", ["x"], ["y"]),
                helper.make_node("Dropout", ["y"], ["z"]),
                helper.make_node("ReduceMean", ["z", "axes"], ["flat"], keepdims=0),
            ],
            {"axes": np.array([-1, 2], np.int64)},
            3,
        ),
        {"Identity", "Dropout", "ReduceMean"},
    ),
    "parts of given and of equal size": (
        _model(
            [
                helper.make_node("Split", ["x", "sizes"], ["p", "q"], "split", axis=1),
                helper.make_node("Split", ["q"], ["r", "s"], "halves", axis=2, num_outputs=2),
                helper.make_node("Add", ["r", "s"], ["sum"]),
                *_flat("sum"),
            ],
            {"sizes": np.array([1, 2], np.int64)},
            2,
        ),
        {"Split"},
    ),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_it_says_the_same_without_the_operators_it_replaces(name: str) -> None:
    data, gone = GRAPHS[name]
    model = onnx.load_from_string(data)
    plain_form(model)
    onnx.checker.check_model(model, full_check=True)
    assert not gone & {node.op_type for node in model.graph.node}
    expected = open_model(data, "reference")(pictures(4))
    np.testing.assert_allclose(open_model(model.SerializeToString(), "reference")(pictures(4)), expected, rtol=1e-5)


def test_weights_that_served_twice_still_do() -> None:
    model = onnx.load_from_string(GRAPHS["a convolution that serves twice, each time normed"][0])
    plain_form(model)
    assert Counter(node.input[1] for node in model.graph.node if node.op_type == "Conv").most_common() == [
        ("conv.weight/bn.weight", 2)
    ]


def test_a_plain_graph_stays_byte_for_byte() -> None:
    model = onnx.load_from_string(residual_net())
    plain_form(model)
    assert model.SerializeToString() == residual_net()


def test_constants_that_are_operators_become_initialisers() -> None:
    model = onnx.load_from_string(residual_net())
    low = next(one for one in model.graph.initializer if one.name == "low")
    model.graph.node.insert(0, helper.make_node("Constant", [], ["low"], value=numpy_helper.from_array(np.float32(0))))
    model.graph.initializer.remove(low)
    plain_form(model)
    assert "Constant" not in {node.op_type for node in model.graph.node}
    assert "low" in {one.name for one in model.graph.initializer}


def test_a_norm_whose_parameters_are_computed_is_refused() -> None:
    model = onnx.load_from_string(GRAPHS["a norm after a convolution"][0])
    kept = [one for one in model.graph.initializer if one.name != "bn.mean"]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    model.graph.input.append(helper.make_tensor_value_info("bn.mean", TensorProto.FLOAT, [4]))
    with pytest.raises(PassError, match="constant parameters"):
        plain_form(model)


def test_a_norm_of_another_rank_is_refused() -> None:
    nodes = [
        helper.make_node("Reshape", ["x", "rows_of_rows"], ["lines"]),
        _norm("lines", "n", "bn"),
        helper.make_node("ReduceMean", ["n", "last"], ["flat"], keepdims=0),
    ]
    given: dict[str, NDArray[np.generic]] = {"rows_of_rows": np.array([0, 3, -1]), "last": np.array([2])}
    model = onnx.load_from_string(_model(nodes, {**given, **_parameters("bn", 3)}, 3))
    with pytest.raises(PassError, match="batch norm of"):
        plain_form(model)


def test_names_of_nodes_are_their_own() -> None:
    model = onnx.load_from_string(GRAPHS["splits without names"][0])
    plain_form(model)
    slices = [node.name for node in model.graph.node if node.op_type == "Slice"]
    assert len(set(slices)) == len(slices)
