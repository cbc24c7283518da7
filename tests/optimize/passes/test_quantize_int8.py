"""What the INT8 pass writes: operators beyond plain layers, layers left in float, and traps that others met."""

import re
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from optimize.errors import PassError, RecipeError
from optimize.judging.arithmetic import open_model
from optimize.judging.fused import fused_share
from optimize.passes import load_pass
from optimize.passes.float64_operators import OPERATORS, WEIGHTED
from optimize.passes.sensitivity import sqnr
from tests.optimize.small_nets import make_model, pictures, residual_net

PASS = load_pass("quantize_int8")


def _error(model: bytes, smaller: bytes) -> float:
    expected, got = (open_model(one, "reference")(pictures(64, seed=1)) for one in (model, smaller))
    return float(np.sqrt(((got - expected) ** 2).mean()) / expected.std())


def _net(nodes: list[onnx.NodeProto], source: str, channels: int = 8, **more: NDArray[np.generic]) -> bytes:
    """A convolution "c" (and its Relu "r") of 8 channels, the nodes, pooling and a head."""
    draw = np.random.default_rng(0)
    constants: dict[str, NDArray[np.generic]] = {
        "stem.weight": (draw.standard_normal((8, 3, 3, 3)) * 0.4).astype(np.float32),
        "squeeze.weight": (draw.standard_normal((8, 8, 1, 1)) * 0.7).astype(np.float32),
        "head.weight": draw.standard_normal((5, channels)).astype(np.float32),
        "head.bias": draw.standard_normal(5).astype(np.float32),
        **more,
    }
    start = [
        helper.make_node("Conv", ["x", "stem.weight"], ["c"], "stem", pads=[1, 1, 1, 1], kernel_shape=[3, 3]),
        helper.make_node("Relu", ["c"], ["r"], "relu"),
    ]
    end = [
        helper.make_node("GlobalAveragePool", [source], ["p"], "pool"),
        helper.make_node("Flatten", ["p"], ["flat"], "flatten", axis=1),
    ]
    return make_model([*start, *nodes, *end], constants, "flat")


def _gated(gate: str) -> bytes:
    """Squeeze and excite."""
    return _net(
        [
            helper.make_node("GlobalAveragePool", ["r"], ["seen"], "seen"),
            helper.make_node("Conv", ["seen", "squeeze.weight"], ["s"], "squeeze", kernel_shape=[1, 1]),
            helper.make_node(gate, ["s"], ["g"], "gate"),
            helper.make_node("Mul", ["r", "g"], ["y"], "excite"),
        ],
        "y",
    )


def _silu() -> bytes:
    nodes = [helper.make_node("Sigmoid", ["c"], ["g"], "g"), helper.make_node("Mul", ["c", "g"], ["y"], "silu")]
    return _net(nodes, "y")


def _joined() -> bytes:
    nodes = [
        helper.make_node("AveragePool", ["r"], ["a"], "a", kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("MaxPool", ["r"], ["m"], "m", kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Concat", ["a", "m"], ["y"], "join", axis=1),
    ]
    return _net(nodes, "y", 16)


def _shuffled() -> bytes:
    nodes = [
        helper.make_node("Reshape", ["r", "apart"], ["v"], "apart"),
        helper.make_node("Transpose", ["v"], ["t"], "mix", perm=[0, 2, 1, 3, 4]),
        helper.make_node("Reshape", ["t", "together"], ["w"], "together"),
        helper.make_node("Split", ["w"], ["h", "k"], "halves", axis=1, num_outputs=2),
        helper.make_node("Add", ["h", "k"], ["y"], "sum"),
    ]
    shapes = {"apart": np.array([-1, 2, 4, 16, 16], np.int64), "together": np.array([-1, 8, 16, 16], np.int64)}
    return _net(nodes, "y", 4, **shapes)


def _lone_clamp() -> bytes:
    nodes = [helper.make_node("Add", ["c", "r"], ["y"], "sum")]
    return _net(nodes, "y")


NETS = {
    "gate": (_gated("Sigmoid"), {"QLinearSigmoid", "QLinearMul", "QLinearGlobalAveragePool"}),
    "hard gate": (_gated("HardSigmoid"), {"HardSigmoid", "QLinearMul"}),
    "silu": (_silu(), {"QLinearSigmoid", "QLinearMul"}),
    "hard swish": (_net([helper.make_node("HardSwish", ["c"], ["y"], "swish")], "y"), {"HardSigmoid"}),
    "leaky": (_net([helper.make_node("LeakyRelu", ["c"], ["y"], "leaky")], "y"), {"QLinearLeakyRelu"}),
    "joined": (_joined(), {"QLinearConcat", "QLinearAveragePool", "MaxPool"}),
    "shuffled": (_shuffled(), {"Reshape", "Transpose"}),
    "a clamp of what others use": (_lone_clamp(), {"QLinearAdd"}),
}


@pytest.mark.parametrize("name", NETS)
def test_operators_keep_their_answers_and_run_in_the_kernels_they_should(name: str, tmp_path: Path) -> None:
    model, kernels = NETS[name]
    smaller = PASS.run(model, pictures(32), {"range_method": "min_max"})
    assert _error(model, smaller) < 0.05
    assert fused_share(smaller).share == 1
    open_model(smaller, "fast", save_optimised=tmp_path / "optimised.onnx")
    kinds = Counter(node.op_type for node in onnx.load(tmp_path / "optimised.onnx").graph.node)
    assert kernels <= {kind.replace("Nhwc", "") for kind in kinds}


def test_a_concatenation_takes_the_widest_scale_and_rounds_that_part_no_more() -> None:
    graph = onnx.load_from_string(PASS.run(_joined(), pictures(16), {})).graph
    scales = {one.name: numpy_helper.to_array(one) for one in graph.initializer if one.name.endswith("/scale")}
    assert scales["y/scale"] == max(scales["a/scale"], scales["r/scale"])


@pytest.mark.parametrize("layer", ["stem", "deep", "point", "a", "c"])
def test_a_layer_left_in_float_has_its_own_weights(layer: str) -> None:
    """By the name of its node, or of what comes out of it, clamped or not."""
    smaller = PASS.run(residual_net(), pictures(16), {"float_layers": [layer]})
    kept = {"a": "stem", "c": "point"}.get(layer, layer)
    assert fused_share(smaller).float_layers == (kept,)
    before, after = (
        {one.name: one for one in onnx.load_from_string(data).graph.initializer} for data in (residual_net(), smaller)
    )
    np.testing.assert_array_equal(*(numpy_helper.to_array(one[f"{kept}.weight"]) for one in (before, after)))
    assert f"{kept}.weight/codes" not in after
    assert _error(residual_net(), smaller) < 0.05
    fast, exact = (open_model(smaller, one)(pictures(8, seed=2)) for one in ("fast", "exact"))
    np.testing.assert_array_equal(fast, exact)
    np.testing.assert_allclose(fast, open_model(smaller, "reference")(pictures(8, seed=2)), atol=0.05 * fast.std())


def test_a_last_layer_left_in_float_gives_the_logits() -> None:
    smaller = PASS.run(residual_net(), pictures(16), {"float_layers": ["head"]})
    assert fused_share(smaller).float_layers == ("head",)
    assert _error(residual_net(), smaller) < 0.05


def test_a_float_layer_that_there_is_not_is_named_with_the_nearest() -> None:
    with pytest.raises(PassError, match="no layer is named 'steem'; did you mean 'stem'"):
        PASS.run(residual_net(), pictures(8), {"float_layers": ["steem"]})
    with pytest.raises(PassError, match="a layer is a Conv or Gemm"):
        PASS.run(residual_net(), pictures(8), {"float_layers": ["zzzzzzzz"]})
    with pytest.raises(RecipeError, match="float_layers"):
        PASS.configure({"float_layers": "stem"})


def test_sensitivity_is_the_ratio_of_powers_and_names_every_layer() -> None:
    smaller = PASS.run(residual_net(), pictures(16), {})
    images = pictures(20, seed=1)
    told = dict(sqnr(residual_net(), smaller, images))
    assert list(told) == ["stem", "deep", "point", "head"]
    expected, got = (open_model(one, "reference")(images).astype(np.float64) for one in (residual_net(), smaller))
    assert told["head"] == pytest.approx(10 * np.log10((expected**2).sum() / ((got - expected) ** 2).sum()), abs=1e-3)


def test_sensitivity_falls_where_a_layer_is_harmed() -> None:
    model = onnx.load_from_string(PASS.run(residual_net(), pictures(16), {}))
    codes = next(one for one in model.graph.initializer if one.name == "deep.weight/codes")
    harmed = (numpy_helper.to_array(codes) // 32 * 32).astype(np.int8)
    codes.CopyFrom(numpy_helper.from_array(harmed, codes.name))
    before = dict(sqnr(residual_net(), PASS.run(residual_net(), pictures(16), {}), pictures(8)))
    after = dict(sqnr(residual_net(), model.SerializeToString(), pictures(8)))
    assert after["stem"] == before["stem"]
    assert after["deep"] < before["deep"] - 10


def test_sensitivity_of_a_model_to_itself_is_without_end() -> None:
    assert {decibels for _, decibels in sqnr(residual_net(), residual_net(), pictures(2))} == {np.inf}


def test_sensitivity_without_pictures_or_of_strangers_is_refused() -> None:
    smaller = PASS.run(residual_net(), pictures(8), {})
    with pytest.raises(PassError, match="a picture or more"):
        sqnr(residual_net(), smaller, pictures(2)[:0])
    stranger = onnx.load_from_string(residual_net())
    del stranger.graph.node[:]
    stranger.graph.node.append(helper.make_node("Cast", ["images"], ["logits"], to=onnx.TensorProto.FLOAT))
    with pytest.raises(PassError, match="no layers in common"):
        sqnr(smaller, stranger.SerializeToString(), pictures(2))


@pytest.mark.parametrize("model", [residual_net(), _gated("Sigmoid"), _joined()])
def test_activations_have_one_scale_and_unsigned_codes(model: bytes) -> None:
    """Scales by channel make engines refuse a layer; signed activations leave it in float."""
    graph = onnx.load_from_string(PASS.run(model, pictures(8), {})).graph
    constants = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    for node in graph.node:
        if node.op_type == "QuantizeLinear" or (node.op_type == "DequantizeLinear" and node.input[0] not in constants):
            assert constants[node.input[1]].shape == ()
            assert constants[node.input[2]].dtype == np.uint8


def test_a_mean_over_places_runs_as_a_pooling(tmp_path: Path) -> None:
    """As ReduceMean it would stay in float."""
    model = onnx.load_from_string(residual_net())
    pool, flatten = (next(node for node in model.graph.node if node.name == name) for name in ("pool", "flatten"))
    model.graph.initializer.append(numpy_helper.from_array(np.array([2, 3], np.int64), "axes"))
    pool.CopyFrom(helper.make_node("ReduceMean", [pool.input[0], "axes"], flatten.output, "mean", keepdims=0))
    model.graph.node.remove(flatten)
    smaller = PASS.run(model.SerializeToString(), pictures(16), {})
    open_model(smaller, "fast", save_optimised=tmp_path / "optimised.onnx")
    kinds = {node.op_type for node in onnx.load(tmp_path / "optimised.onnx").graph.node}
    assert "QLinearGlobalAveragePool" in kinds
    assert "ReduceMean" not in kinds


@pytest.mark.parametrize(
    ("node", "says"),
    [
        (helper.make_node("Softplus", ["c"], ["y"], "odd"), "does not know Softplus"),
        (helper.make_node("Softplus", ["c"], ["y"]), "node 'y': quantize_int8 does not know"),
        (helper.make_node("Add", ["c", "head.bias"], ["y"], "odd"), "'odd' .Add. takes a constant"),
        (helper.make_node("Conv", ["c", "r"], ["y"], "odd"), "its weights are computed"),
    ],
)
def test_what_the_pass_does_not_take_is_named(node: onnx.NodeProto, says: str) -> None:
    model = onnx.load_from_string(_net([helper.make_node("Relu", ["r"], ["y"], "odd")], "y"))
    next(one for one in model.graph.node if one.name == "odd").CopyFrom(node)
    with pytest.raises(PassError, match=says):
        PASS.run(model.SerializeToString(), pictures(8), {})


def test_the_page_names_every_field_and_operator() -> None:
    page = (Path(__file__).parents[3] / "docs" / "int8.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in page for name in PASS.config.model_fields)
    assert all(re.search(rf"\b{name}\b", page) for name in {*OPERATORS, *WEIGHTED})
