"""Folding a stranger's graph, against the graph as it was."""

from collections import Counter

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from optimize.judging.arithmetic import open_model
from optimize.passes import load_pass
from tests.optimize.passes.redundant_net import redundant_net
from tests.optimize.small_nets import make_model, pictures, residual_net

NONE = pictures(1)[:0]
DRAW = np.random.default_rng(3)


def strange_net(*, shared: bool = False) -> bytes:
    """Batch norms, paddings, identities, dropout, a dead end and constants that are computed; ``shared``: as named."""
    norm = ["scale", "shift", "running_mean", "running_var"]
    constants: dict[str, NDArray[np.generic]] = {
        "a.weight": DRAW.standard_normal((8, 3, 3, 3)).astype(np.float32),
        "b.weight": DRAW.standard_normal((8, 8, 1, 1)).astype(np.float32),
        **{name: DRAW.uniform(0.5, 2, 8).astype(np.float32) for name in norm},
        "pads": np.array([0, 0, 1, 1, 0, 0, 1, 1], np.int64),
        "half": np.array(0.5, np.float32),
        "one": np.array(1, np.float32),
        "no": np.array(False),
        "rest": np.array([8], np.int64),
        "batch": np.array([-1], np.int64),
        "head.weight": DRAW.standard_normal((10, 8)).astype(np.float32),
        "head.bias": DRAW.standard_normal(10).astype(np.float32),
    }
    nodes = [
        helper.make_node("Pad", ["x", "pads"], ["padded"], "pad"),
        helper.make_node("Conv", ["padded", "a.weight"], ["a"], "a"),
        helper.make_node("BatchNormalization", ["a", *norm], ["a_norm"], "norm_a", epsilon=1e-3),
        helper.make_node("Relu", ["a_norm"], ["a_relu"], "relu"),
        helper.make_node("Identity", ["a_relu"], ["same"], "identity"),
        helper.make_node("Mul", ["same", "one"], ["still"], "times_one"),
        helper.make_node("Conv", ["still", "b.weight", "shift"], ["b"], "b"),
        helper.make_node("BatchNormalization", ["b", *norm], ["b_norm"], "norm_b"),
        helper.make_node("Constant", [], ["two"], "two", value=numpy_helper.from_array(np.array(2, np.float32))),
        helper.make_node("Mul", ["half", "two"], ["unit"], "one_again"),
        helper.make_node("Add", ["b_norm", "b" if shared else "unit"], ["sum"], "add"),
        helper.make_node("Sigmoid", ["sum"], ["nobody_needs"], "dead_end"),
        helper.make_node("Dropout", ["sum", "half", "no"], ["kept"], "dropout"),
        helper.make_node("GlobalAveragePool", ["kept"], ["pooled"], "pool"),
        helper.make_node("Concat", ["batch", "rest"], ["form"], "form", axis=0),
        helper.make_node("Reshape", ["pooled", "form"], ["flat"], "flatten"),
    ]
    return make_model(nodes, constants, "flat")


def operators(model: bytes) -> Counter[str]:
    return Counter(node.op_type for node in onnx.load_from_string(model).graph.node)


def test_what_an_engine_would_fold_is_folded_and_the_answers_stay() -> None:
    model = strange_net()
    plain = load_pass("fold").run(model, NONE, {})
    expected, got = (open_model(one, "reference")(pictures(16)) for one in (model, plain))
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())
    assert operators(plain) == Counter(
        ["Transpose", "Cast", "Sub", "Mul", "Conv", "Relu", "Conv", "Add", "GlobalAveragePool", "Reshape", "Gemm"]
    )
    assert len(plain) < len(model)


def test_a_batch_norm_whose_convolution_is_used_elsewhere_stays() -> None:
    model = strange_net(shared=True)
    plain = load_pass("fold").run(model, NONE, {})
    assert operators(plain)["BatchNormalization"] == 1
    expected, got = (open_model(one, "reference")(pictures(16)) for one in (model, plain))
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("before", [None, "float16", "cluster_weights", "quantize_int8", "sparsify"])
def test_stored_forms_stay_as_small_as_they_are(before: str | None) -> None:
    model = redundant_net()
    if before:
        parameters = {"least_weights": 128} if before == "cluster_weights" else {}
        model = load_pass(before).run(model, pictures(8), parameters)
    plain = load_pass("fold").run(model, NONE, {})
    assert len(plain) <= len(model)
    expected, got = (open_model(one, "reference")(pictures(16)) for one in (model, plain))
    np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("model", [strange_net(), residual_net()])
def test_a_second_time_changes_nothing(model: bytes) -> None:
    once = load_pass("fold").run(model, NONE, {})
    assert load_pass("fold").run(once, NONE, {}) == once


def test_a_large_constant_is_not_written_out() -> None:
    """Two vectors whose outer sum would be a hundred times their size."""
    constants: dict[str, NDArray[np.generic]] = {
        "row": DRAW.standard_normal((1, 1, 1, 768)).astype(np.float32),
        "column": DRAW.standard_normal((1, 1, 768, 1)).astype(np.float32),
        "head.weight": DRAW.standard_normal((10, 3)).astype(np.float32),
        "head.bias": np.zeros(10, np.float32),
    }
    nodes = [
        helper.make_node("Add", ["row", "column"], ["table"], "table"),
        helper.make_node("ReduceMax", ["table"], ["most"], "most", keepdims=0),
        helper.make_node("Mul", ["x", "most"], ["y"], "times"),
        helper.make_node("GlobalAveragePool", ["y"], ["pooled"], "pool"),
        helper.make_node("Flatten", ["pooled"], ["flat"], "flatten"),
    ]
    model = make_model(nodes, constants, "flat")
    plain = load_pass("fold").run(model, NONE, {})
    assert len(plain) <= len(model)
    assert all(
        one.data_type != TensorProto.FLOAT or len(one.raw_data) < 10_000
        for one in onnx.load_from_string(plain).graph.initializer
    )
