"""Zeros as bits: exact, smaller as computed by hand, and gone when an engine has loaded the graph."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from optimize.errors import PassError
from optimize.judging.arithmetic import Arithmetic, open_model
from optimize.judging.fused import fused_share, work_of
from optimize.judging.zeros import zeros_of
from optimize.passes import load_pass
from tests.optimize.small_nets import make_model, pictures, residual_net

NONE = pictures(1)[:0]
WIDE = (120, 96)  # 11,520 weights: no multiple of a block of 256


def wide_net(share: float) -> bytes:
    """A convolution of 96 channels, a 1×1 one of 120 with so many zeros, pooling, a head of 10 classes."""
    draw = np.random.default_rng(3)
    point = draw.standard_normal((*WIDE, 1, 1)).astype(np.float32) / 10
    point[draw.random(point.shape) < share] = 0
    constants: dict[str, NDArray[np.generic]] = {
        "stem.weight": draw.standard_normal((96, 3, 3, 3)).astype(np.float32) / 5,
        "point.weight": point,
        "head.weight": draw.standard_normal((10, 120)).astype(np.float32) / 10,
        "head.bias": np.zeros(10, np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["x", "stem.weight"], ["a"], "stem", kernel_shape=[3, 3]),
        helper.make_node("Relu", ["a"], ["b"], "relu_stem"),
        helper.make_node("Conv", ["b", "point.weight"], ["c"], "point", kernel_shape=[1, 1]),
        helper.make_node("Relu", ["c"], ["d"], "relu_point"),
        helper.make_node("GlobalAveragePool", ["d"], ["pooled"], "pool"),
        helper.make_node("Flatten", ["pooled"], ["flat"], "flatten"),
    ]
    return make_model(nodes, constants, "flat")


def stored(model: bytes) -> bytes:
    return load_pass("sparse_storage").run(model, NONE, {})


def in_form(model: bytes, form: str) -> bytes:
    return model if form == "float32" else load_pass(form).run(model, pictures(16), {})


def weights_that_run(model: bytes, tmp_path: Path) -> tuple[list[str], list[tuple[int, str, bytes]]]:
    """Operators of the graph that ONNX Runtime runs, and its constants: how many numbers, their type, their bytes."""
    open_model(model, "fast", save_optimised=tmp_path / "optimised.onnx")
    graph = onnx.load(tmp_path / "optimised.onnx").graph
    arrays = [numpy_helper.to_array(one) for one in graph.initializer]
    return [node.op_type for node in graph.node], sorted((one.size, one.dtype.str, one.tobytes()) for one in arrays)


@pytest.mark.parametrize("share", [0.3, 0.5, 0.75, 0.9, 1.0])
@pytest.mark.parametrize(("form", "size"), [("float32", 4), ("float16", 2), ("quantize_int8", 1)])
def test_answers_are_the_same_bits_and_the_bytes_those_of_mask_and_values(share: float, form: str, size: int) -> None:
    dense = in_form(wide_net(share), form)
    small = stored(dense)
    for arithmetic in ("reference", "exact", "fast"):
        kind: Arithmetic = arithmetic
        np.testing.assert_array_equal(open_model(small, kind)(pictures(8)), open_model(dense, kind)(pictures(8)))
    assert zeros_of(small) == zeros_of(dense)
    count = WIDE[0] * WIDE[1]
    zeros = zeros_of(dense).zeros
    saved = size * zeros - count * 9 / 64
    overhead = 6_000  # the tables, and fourteen operators with their names
    assert saved - overhead < len(dense) - len(small) < saved


@pytest.mark.parametrize("form", ["float32", "float16", "quantize_int8"])
def test_onnx_runtime_runs_what_it_ran_before(form: str, tmp_path: Path) -> None:
    dense = in_form(wide_net(0.75), form)
    (operators, weights), (expected, expected_weights) = (
        weights_that_run(one, tmp_path) for one in (stored(dense), dense)
    )
    assert operators == expected
    assert weights == expected_weights
    assert max(size for size, _, _ in weights) >= WIDE[0] * WIDE[1]  # kernels of 16 channels at a time pad 120 to 128
    assert len(stored(dense)) < len(dense)


@pytest.mark.parametrize("form", ["float32", "float16", "quantize_int8"])
def test_openvino_runs_what_it_ran_before(form: str) -> None:
    openvino = pytest.importorskip("openvino", reason="pip install 'quickeye[fast]'")
    engine = openvino.Core()
    found = []
    dense = in_form(wide_net(0.75), form)
    for one in (stored(dense), dense):
        model = engine.compile_model(
            engine.read_model(one, b""), "CPU", {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
        )
        nodes = model.get_runtime_model().get_ordered_ops()
        kinds = [node.get_rt_info()["layerType"].astype(str) for node in nodes]
        found.append((kinds, model(pictures(8))[0]))
    assert found[0][0] == found[1][0]
    np.testing.assert_array_equal(found[0][1], found[1][1])


def test_every_layer_is_told_as_before() -> None:
    dense = load_pass("quantize_int8").run(wide_net(0.8), pictures(16), {})
    assert work_of(stored(dense)) == work_of(dense)
    assert fused_share(stored(dense)) == fused_share(dense)


@pytest.mark.parametrize("net", [residual_net(), wide_net(0.0), wide_net(0.05)])
def test_a_net_of_too_few_zeros_stays_as_it_is(net: bytes) -> None:
    assert stored(net) == net


def test_what_is_stored_so_is_stored_once() -> None:
    once = stored(wide_net(0.75))
    assert stored(once) == once
    further = load_pass("sparsify").run(once, NONE, {"share": 0.9})
    with pytest.raises(PassError, match="once, as the last"):
        stored(further)


def test_the_zero_below_zero_is_a_value() -> None:
    model = onnx.load_from_string(wide_net(0.75))
    (point,) = (one for one in model.graph.initializer if one.name == "point.weight")
    weights = numpy_helper.to_array(point).copy()
    weights.flat[7] = np.float32(-0.0)
    point.CopyFrom(numpy_helper.from_array(weights, point.name))
    small = onnx.load_from_string(stored(model.SerializeToString()))
    (values,) = (numpy_helper.to_array(one) for one in small.graph.initializer if one.name == "point.weight/values")
    assert np.signbit(values[values == 0]).sum() == 1


def test_weights_listed_as_inputs_are_stored_too() -> None:
    """As old files have them."""
    model = onnx.load_from_string(wide_net(0.75))
    old = [helper.make_tensor_value_info(one.name, one.data_type, one.dims) for one in model.graph.initializer]
    model.graph.input.extend(old)
    small = stored(model.SerializeToString())
    np.testing.assert_array_equal(
        open_model(small, "fast")(pictures(4)), open_model(wide_net(0.75), "fast")(pictures(4))
    )


def test_an_old_opset_is_refused_with_what_to_do() -> None:
    model = onnx.load_from_string(wide_net(0.75))
    model.opset_import[0].version = 11
    with pytest.raises(PassError, match=r"opset 11.*convert_version"):
        stored(model.SerializeToString())
