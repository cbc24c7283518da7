"""The class-activation map as a graph's second output: right in every form that a network's end is written in.

The reference is numpy in float64 on the pooled features, by the formula of Zhou et al. (2016); the features
come from ONNX's own evaluator. Whole networks are compared with torch in ``test_export.py``.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from model_zoo.graph_class_activation import add_class_activation, map_error, outputs_of, remove_class_activation
from tests.model_zoo.onnx_graphs import CLASSES, SIDE, Node, model, node, reference, weights

FEATURES = [node("Conv", ["x", "conv.weight", "conv.bias"], "c", pads=[1, 1, 1, 1]), node("Relu", ["c"], "features")]
POOL = [node("GlobalAveragePool", ["features"], "p"), node("Flatten", ["p"], "f", axis=1)]
GEMM = [node("Gemm", ["f", "fc.weight", "fc.bias"], "logits", transB=1)]
SCALES = np.linspace(0.01, 0.03, CLASSES, dtype=np.float32)

Constants = dict[str, NDArray[np.generic]]


def codes(zero: int) -> Constants:
    """The weights in bytes, with one scale and one zero per class."""
    written = np.rint(weights()["fc.weight"] / SCALES[:, None]).clip(-100, 100) + zero
    return {"codes": written.astype(np.int8), "scale": SCALES, "zero": np.full(CLASSES, zero, np.int8)}


def by_class(axis: int = 0) -> Node:
    return node("DequantizeLinear", ["codes", "scale", "zero"], "w", axis=axis)


def in_codes(node_of: str, output: str) -> list[Node]:
    """A tensor rounded to bytes and back."""
    return [
        node("QuantizeLinear", [node_of, "step", "middle"], f"{output}_codes"),
        node("DequantizeLinear", [f"{output}_codes", "step", "middle"], output),
    ]


COLUMNS = {"columns": weights()["fc.weight"].T.copy()}
STEP: Constants = {"step": np.array(0.05, np.float32), "middle": np.array(0, np.uint8)}

# name -> nodes behind the features, constants beside those of ``weights()``
FORMS: dict[str, tuple[list[Node], Constants]] = {
    "gemm by rows": ([*POOL, *GEMM], {}),
    "gemm by columns": ([*POOL, node("Gemm", ["f", "columns", "fc.bias"], "logits")], COLUMNS),
    "gemm without bias": ([*POOL, node("Gemm", ["f", "columns"], "logits")], COLUMNS),
    "matmul and add": (
        [*POOL, node("MatMul", ["f", "columns"], "m"), node("Add", ["m", "fc.bias"], "logits")],
        COLUMNS,
    ),
    "add and matmul": (
        [*POOL, node("MatMul", ["f", "columns"], "m"), node("Add", ["fc.bias", "m"], "logits")],
        COLUMNS,
    ),
    "matmul alone": ([*POOL, node("MatMul", ["f", "columns"], "logits")], COLUMNS),
    "1×1 convolution": (
        [POOL[0], node("Conv", ["p", "kernel", "fc.bias"], "k"), node("Flatten", ["k"], "logits", axis=1)],
        {"kernel": weights()["fc.weight"][:, :, None, None].copy()},
    ),
    "mean over places": ([node("ReduceMean", ["features"], "f", axes=[-2, -1], keepdims=0), *GEMM], {}),
    "mean, reshape, dropout": (
        [
            node("ReduceMean", ["features"], "p", axes=[3, 2], keepdims=1),
            node("Reshape", ["p", "flat"], "r"),
            node("Dropout", ["r"], "d"),
            node("Gemm", ["d", "fc.weight", "fc.bias"], "g", transB=1),
            node("Identity", ["g"], "logits"),
        ],
        {"flat": np.array([-1, 6], np.int64)},
    ),
    "weights in bytes": ([*POOL, by_class(), node("Gemm", ["f", "w", "fc.bias"], "logits", transB=1)], codes(0)),
    "weights in bytes around another zero": (
        [*POOL, by_class(), node("Gemm", ["f", "w", "fc.bias"], "logits", transB=1)],
        codes(9),
    ),
    "columns in bytes": (
        [*POOL, by_class(axis=1), node("MatMul", ["f", "w"], "logits")],
        {**codes(0), "codes": codes(0)["codes"].T.copy()},
    ),
    "weights in bytes with one scale": (
        [
            *POOL,
            node("DequantizeLinear", ["codes", "scale", "zero"], "w"),
            node("Gemm", ["f", "w", "fc.bias"], "logits", transB=1),
        ],
        {"codes": codes(3)["codes"], "scale": np.array(0.02, np.float32), "zero": np.array(3, np.int8)},
    ),
    "all in bytes": (
        [
            node("GlobalAveragePool", ["features"], "p"),
            *in_codes("p", "p_real"),
            node("Flatten", ["p_real"], "f_float"),
            *in_codes("f_float", "f"),
            by_class(),
            node("Gemm", ["f", "w", "fc.bias"], "logits", transB=1),
        ],
        {**codes(0), **STEP},
    ),
}
ROUNDED = {"all in bytes": 0.05 / 2 * 2 * 6 * 3}  # two roundings of half a step, six inputs, weights up to three


def classifier(
    nodes: list[Node],
    constants: Constants | None = None,
    *,
    shape: Sequence[int | str] = ("N", 3, SIDE, SIDE),
    half: bool = False,
) -> onnx.ModelProto:
    """(N, 3, side, side) to "logits", with those constants that its nodes use."""
    element = TensorProto.FLOAT16 if half else TensorProto.FLOAT
    used = {name for one in (*FEATURES, *nodes) for name in one.input}
    together = {**weights(dtype=np.float16 if half else np.float32), **(constants or {})}
    kept = {name: array for name, array in together.items() if name in used}
    made = model([*FEATURES, *nodes], shape=shape, output="logits", constants=kept, element=element)
    made.graph.output[0].CopyFrom(helper.make_tensor_value_info("logits", element, [shape[0], "classes"]))
    return made


def pictures(count: int = 5) -> NDArray[np.float32]:
    return np.random.default_rng(3).normal(0, 1, (count, 3, SIDE, SIDE)).astype(np.float32)


def run(made: onnx.ModelProto, batch: NDArray[Any]) -> dict[str, NDArray[np.float32]]:
    """All outputs, operator by operator: which kernels melt is for the tests of the shipped bundle."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(made.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {"x": batch}), strict=True))


def linear_weights(constants: Constants) -> NDArray[np.float64]:
    """The last layer's weights as (classes, channels), dequantised by numpy."""
    if "codes" not in constants:
        return weights()["fc.weight"].astype(np.float64)
    values, scale, zero = (constants[name].astype(np.float64) for name in ("codes", "scale", "zero"))
    if values.shape[0] != CLASSES:
        return ((values - zero) * scale).T
    return (values - zero.reshape(-1, 1)) * scale.reshape(-1, 1)


@pytest.mark.parametrize("name", FORMS)
def test_the_map_is_the_papers_formula_and_the_logits_stay(name: str) -> None:
    nodes, constants = FORMS[name]
    before = classifier(nodes, constants)
    after = classifier(nodes, constants)
    assert add_class_activation(after)
    onnx.checker.check_model(after, full_check=True)
    for count in (1, 3, 5):
        batch = pictures(count)
        logits, got = run(before, batch)["logits"], run(after, batch)
        np.testing.assert_array_equal(got["logits"], logits)
        features = reference(classifier([*POOL, *GEMM]), batch, "features").astype(np.float64)
        rows = linear_weights(constants)[logits.argmax(axis=1)]
        expected = np.einsum("nc,nchw->nhw", rows, features)
        np.testing.assert_allclose(got["class_activation"], expected, rtol=1e-4, atol=1e-4)
        assert got["class_activation"].dtype == np.float32


def largest(logits: NDArray[np.float32], maps: NDArray[np.float32]) -> float:
    """What an error is a share of."""
    return max(float(np.abs(logits.max(axis=1)).max()), float(np.abs(maps).max()))


@pytest.mark.parametrize("name", FORMS)
def test_a_maps_mean_and_its_classes_bias_are_its_logit(name: str) -> None:
    made = classifier(*FORMS[name])
    assert add_class_activation(made)
    got = run(made, pictures())
    logits, maps = got["logits"], got["class_activation"]
    assert map_error(made, logits, maps) * largest(logits, maps) <= ROUNDED.get(name, 1e-3)
    shifted = maps + np.float32(0.5)
    assert map_error(made, logits, shifted) * largest(logits, shifted) >= 0.5 - ROUNDED.get(name, 1e-3)


def test_a_graph_in_halves_gives_maps_in_float32() -> None:
    made = classifier([*POOL, *GEMM], half=True)
    batch = pictures(2).astype(np.float16)
    features = reference(made, batch, "features").astype(np.float64)
    assert add_class_activation(made)
    onnx.checker.check_model(made, full_check=True)
    got = run(made, batch)
    rows = weights(dtype=np.float16)["fc.weight"].astype(np.float64)[got["logits"].argmax(axis=1)]
    expected = np.einsum("nc,nchw->nhw", rows, features)
    assert got["class_activation"].dtype == np.float32
    np.testing.assert_allclose(got["class_activation"], expected, atol=0.02 * np.abs(expected).max())


def test_a_graph_fixed_to_a_batch_keeps_it() -> None:
    made = classifier([*POOL, *GEMM], shape=(2, 3, SIDE, SIDE))
    assert add_class_activation(made)
    assert run(made, pictures(2))["class_activation"].shape == (2, SIDE, SIDE)


def test_the_new_output_says_its_shape() -> None:
    made = classifier([*POOL, *GEMM])
    assert add_class_activation(made)
    sizes = [d.dim_param or d.dim_value for d in made.graph.output[1].type.tensor_type.shape.dim]
    assert (made.graph.output[1].name, sizes) == ("class_activation", ["N", SIDE, SIDE])
    kinds = [(spec.name, spec.kind, spec.activation) for spec in outputs_of(made.SerializeToString())]
    assert kinds == [("logits", "logits", "softmax"), ("class_activation", "class_activation", "none")]


def test_no_weights_are_added() -> None:
    made = classifier([*POOL, *GEMM])
    before = made.ByteSize()
    assert add_class_activation(made)
    added = {tensor.name: len(tensor.raw_data) for tensor in made.graph.initializer if "activation" in tensor.name}
    assert sum(added.values()) == 3 * 3 * 8
    assert made.ByteSize() - before < 1500


HIDDEN = [
    *POOL,
    node("Gemm", ["f", "square"], "h"),
    node("Relu", ["h"], "a"),
    node("Gemm", ["a", "fc.weight", "fc.bias"], "logits", transB=1),
]
SQUARE: Constants = {"square": np.eye(6, dtype=np.float32)}
WITHOUT: dict[str, Callable[[], onnx.ModelProto]] = {
    "a hidden layer": lambda: classifier(HIDDEN, SQUARE),
    "no linear layer": lambda: classifier([POOL[0], node("Flatten", ["p"], "logits")]),
    "no pooling": lambda: classifier(
        [node("Flatten", ["features"], "f"), node("Gemm", ["f", "wide"], "logits")],
        {"wide": np.zeros((6 * SIDE * SIDE, CLASSES), np.float32)},
    ),
    "pooling of rows alone": lambda: classifier(
        [
            node("ReduceMean", ["features"], "m", axes=[2], keepdims=0),
            node("ReduceMean", ["m"], "f", axes=[2], keepdims=0),
            *GEMM,
        ]
    ),
    "pooling by the largest": lambda: classifier(
        [node("GlobalMaxPool", ["features"], "p"), node("Flatten", ["p"], "f", axis=1), *GEMM]
    ),
    "a softmax at the end": lambda: classifier(
        [*POOL, node("Gemm", ["f", "fc.weight", "fc.bias"], "y", transB=1), node("Softmax", ["y"], "logits", axis=1)]
    ),
    "a convolution of several places": lambda: classifier(
        [
            POOL[0],
            node("Conv", ["p", "kernel", "fc.bias"], "k", pads=[1] * 4),
            node("Flatten", ["k"], "logits", axis=1),
        ],
        {"kernel": np.zeros((CLASSES, 6, 3, 3), np.float32)},
    ),
    "a scaled layer": lambda: classifier([*POOL, node("Gemm", ["f", "columns"], "logits", alpha=2.0)], COLUMNS),
    "computed weights": lambda: classifier(
        [*POOL, node("Mul", ["fc.weight", "fc.weight"], "w"), node("Gemm", ["f", "w"], "logits", transB=1)]
    ),
    "a computed bias": lambda: classifier(
        [*POOL, node("Mul", ["fc.bias", "fc.bias"], "b"), node("Gemm", ["f", "fc.weight", "b"], "logits", transB=1)]
    ),
    "scales along the inputs": lambda: classifier(
        [*POOL, by_class(axis=1), node("Gemm", ["f", "w"], "logits", transB=1)],
        {**codes(0), "scale": np.full(6, 0.02, np.float32), "zero": np.zeros(6, np.int8)},
    ),
    "features of unknown size": lambda: classifier([*POOL, *GEMM], shape=("N", 3, "height", "width")),
    "its name taken": lambda: classifier(
        [*POOL, *GEMM, node("Identity", ["f"], "class_activation")],
    ),
}


@pytest.mark.parametrize("name", WITHOUT)
def test_a_graph_without_what_it_takes_stays_as_it_is(name: str) -> None:
    made, same = WITHOUT[name](), WITHOUT[name]()
    assert not add_class_activation(made)
    assert made == same
    assert [spec.name for spec in outputs_of(made.SerializeToString())] == ["logits"]


@pytest.mark.parametrize("name", FORMS)
def test_what_was_added_can_be_taken_out_again(name: str) -> None:
    made, same = classifier(*FORMS[name]), classifier(*FORMS[name])
    assert not remove_class_activation(made)
    assert add_class_activation(made)
    assert remove_class_activation(made)
    assert made == same


def test_a_second_time_adds_nothing() -> None:
    made = classifier([*POOL, *GEMM])
    assert add_class_activation(made)
    once = onnx.ModelProto()
    once.CopyFrom(made)
    assert not add_class_activation(made)
    assert made == once
