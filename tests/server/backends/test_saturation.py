"""Which weights can overflow a 16-bit pair sum; the reference is the sum itself, product by product."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from onnx import TensorProto, helper, numpy_helper

from server.backends.cpu_features import CpuFeatures
from server.backends.saturation import MAX_PAIR, largest_pair, may_saturate, needs_exact_sums
from tests.server.fake_bundles import ByteConvolution, MeanColour

AVX2 = CpuFeatures("test", "x86_64", frozenset({"avx2"}))
VNNI = CpuFeatures("test", "x86_64", frozenset({"avx2", "avx512_vnni"}))
ARM = CpuFeatures("test", "aarch64")


@given(arrays(np.int8, (3, 8), elements=st.integers(-128, 127)))
def test_within_the_limit_no_bytes_overflow(weights: np.ndarray) -> None:
    """Brightest input where it hurts most: 255 for weights of one sign, 0 for the others."""
    worst = 0
    for row in weights.astype(int):
        for first, second in row.reshape(-1, 2):
            positive = 255 * max(first, 0) + 255 * max(second, 0)
            negative = 255 * min(first, 0) + 255 * min(second, 0)
            worst = max(worst, positive - 32_767, -32_768 - negative)
    if largest_pair(weights) <= MAX_PAIR:
        assert worst <= 0
    if worst > 0:
        assert largest_pair(weights) > MAX_PAIR


@pytest.mark.parametrize(
    ("pair", "overflows"), [((127, 1), False), ((127, 2), True), ((-128, -1), True), ((127, -128), False)]
)
def test_neighbours_count_only_with_one_sign(pair: tuple[int, int], overflows: bool) -> None:
    weights = np.zeros((1, 4, 1, 1), np.int8)
    weights[0, 2:, 0, 0] = pair
    assert may_saturate(convolution(weights)) is overflows


def test_input_channels_are_paired_from_the_first() -> None:
    weights = np.zeros((1, 4, 1, 1), np.int8)
    weights[0, 1:3, 0, 0] = 127
    assert not may_saturate(convolution(weights))


def test_three_channels_are_paired_across_positions_too() -> None:
    weights = np.zeros((1, 3, 1, 2), np.int8)
    weights[0, 2, 0, 0] = weights[0, 0, 0, 1] = 127  # third of the first position, first of the second
    assert may_saturate(convolution(weights))


def test_depthwise_filters_cannot_overflow() -> None:
    assert not may_saturate(convolution(np.full((6, 1, 3, 3), 127, np.int8)))


@pytest.mark.parametrize("transposed", [True, False])
def test_a_classifiers_weights_are_paired_along_its_input(transposed: bool) -> None:
    weights = np.zeros((2, 4), np.int8)
    weights[:, 0] = 127
    assert not may_saturate(gemm(weights, transposed))
    weights[1, 1] = 127
    assert may_saturate(gemm(weights, transposed))


@pytest.mark.parametrize("axis", [0, 1])
def test_rows_looked_up_in_weights_are_paired_along_the_sum(axis: int) -> None:
    rows = np.zeros((2, 4), np.int8)
    rows[:, 0] = rows[0, 2] = 127
    assert not may_saturate(looked_up(rows, axis))
    rows[1, 1] = 127
    assert may_saturate(looked_up(rows, axis))


def test_rows_looked_up_in_floats_are_safe_and_other_computed_products_at_risk() -> None:
    assert not may_saturate(looked_up(np.ones((2, 4), np.float32), 0))
    assert may_saturate(serialised([helper.make_node("MatMul", ["computed", "x"], ["y"])], {}))


def test_float_graphs_and_unsigned_weights_are_safe() -> None:
    assert not may_saturate(MeanColour().graph())
    assert not may_saturate(convolution(np.full((1, 2, 1, 1), 255, np.uint8)))


def test_what_cannot_be_read_is_at_risk() -> None:
    assert may_saturate(b"\xff\xff not a graph")
    computed = helper.make_node("Conv", ["x", "made_elsewhere"], ["y"])
    assert may_saturate(serialised([computed], {}))


@pytest.mark.parametrize(
    ("precision", "features", "exact"),
    [("int8", AVX2, True), ("int8", VNNI, False), ("int8", ARM, False), ("fp32", AVX2, False)],
)
def test_only_int8_on_old_x86_needs_exact_sums(precision: str, features: CpuFeatures, exact: bool) -> None:
    risky = ByteConvolution(np.full((1, 3, 1, 1), 127, np.int8)).graph()
    assert needs_exact_sums(precision, risky, features) is exact  # type: ignore[arg-type]


def test_the_bundle_at_risk_and_its_safe_twin(tmp_path: Path) -> None:
    risky = ByteConvolution(np.full((2, 3, 1, 1), 127, np.int8)).write(tmp_path, "risky")
    safe = ByteConvolution(np.full((2, 3, 1, 1), 64, np.int8)).write(tmp_path, "safe")
    assert may_saturate(risky.read_model())
    assert not may_saturate(safe.read_model())


def convolution(weights: np.ndarray) -> bytes:
    """DequantizeLinear → Conv."""
    nodes = [
        helper.make_node("DequantizeLinear", ["weights", "scale"], ["w"]),
        helper.make_node("Conv", ["x", "w"], ["y"], group=1),
    ]
    return serialised(nodes, {"weights": weights, "scale": np.array(1, np.float32)})


def gemm(weights: np.ndarray, transposed: bool) -> bytes:
    """DequantizeLinear → Gemm; ``weights`` are (outputs, inputs)."""
    nodes = [
        helper.make_node("DequantizeLinear", ["weights", "scale"], ["w"]),
        helper.make_node("Gemm", ["x", "w"], ["y"], transB=int(transposed)),
    ]
    return serialised(nodes, {"weights": weights if transposed else weights.T.copy(), "scale": np.array(1, np.float32)})


def looked_up(rows: np.ndarray, axis: int) -> bytes:
    """Gather → DequantizeLinear → Reshape → MatMul with computed features; ``rows`` are (outputs, inputs)."""
    nodes = [
        helper.make_node("Gather", ["weights", "best"], ["codes"], axis=axis),
        helper.make_node("DequantizeLinear", ["codes", "scale"], ["row"]),
        helper.make_node("Reshape", ["row", "shape"], ["rows"]),
        helper.make_node("MatMul", ["rows", "x"], ["y"]),
    ]
    constants = {"weights": rows.T.copy() if axis else rows, "scale": np.array(1, np.float32)}
    return serialised(nodes, {**constants, "best": np.array([0]), "shape": np.array([0, 1, -1])})


def serialised(nodes: list[onnx.NodeProto], constants: dict[str, np.ndarray]) -> bytes:
    """A graph that is only read here, never run."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, None)
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    tensors = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    model: onnx.ModelProto = helper.make_model(helper.make_graph(nodes, "graph", [x], [y], tensors))
    data: bytes = model.SerializeToString()
    return data
