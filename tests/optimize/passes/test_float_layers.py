"""Mixed precision: what flows between layers in float stays in float, and which layers those are can be measured."""

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import helper

from model_zoo.graph_class_activation import add_class_activation
from optimize.errors import PassError, RecipeError
from optimize.judging.arithmetic import open_model
from optimize.judging.fused import fused_share
from optimize.passes import load_pass
from optimize.passes.float_choice import _rounded
from optimize.passes.float_graph import read_float_graph
from optimize.passes.float_tensors import families, tensors_in_float
from optimize.passes.integer_walk import IntegerWalk
from optimize.passes.sensitivity import sqnr
from tests.optimize.passes.test_quantize_int8 import NETS
from tests.optimize.passes.test_shared_weights import twice
from tests.optimize.small_nets import make_model, pictures, residual_net

PASS = load_pass("quantize_int8")
ALL = ["stem", "deep", "point", "head"]


def _error(model: bytes, smaller: bytes) -> float:
    expected, got = (open_model(one, "reference")(pictures(64, seed=1)) for one in (model, smaller))
    return float(np.sqrt(((got - expected) ** 2).mean()) / expected.std())


def _codes(model: bytes) -> set[str]:
    """Tensors that are rounded to 8 bits."""
    nodes = onnx.load_from_string(model).graph.node
    return {str(node.output[0]).removesuffix("/codes") for node in nodes if node.op_type == "QuantizeLinear"}


def _coarse() -> bytes:
    """One channel of "r" is sixty times as large as the others, and "mix" does not use it."""
    draw = np.random.default_rng(0)
    constants: dict[str, NDArray[np.generic]] = {
        "stem.weight": (draw.standard_normal((8, 3, 3, 3)) * 0.4).astype(np.float32),
        "mix.weight": (draw.standard_normal((8, 8, 1, 1)) * 0.7).astype(np.float32),
        "last.weight": (draw.standard_normal((8, 8, 1, 1)) * 0.7).astype(np.float32),
        "head.weight": draw.standard_normal((5, 8)).astype(np.float32),
        "head.bias": draw.standard_normal(5).astype(np.float32),
    }
    constants["stem.weight"][0] *= 60
    constants["mix.weight"][:, 0] = 0
    nodes = [
        helper.make_node("Conv", ["x", "stem.weight"], ["c"], "stem", pads=[1, 1, 1, 1], kernel_shape=[3, 3]),
        helper.make_node("Relu", ["c"], ["r"], "relu"),
        helper.make_node("Conv", ["r", "mix.weight"], ["m"], "mix", kernel_shape=[1, 1]),
        helper.make_node("Relu", ["m"], ["n"], "relu_mix"),
        helper.make_node("Conv", ["n", "last.weight"], ["k"], "last", kernel_shape=[1, 1]),
        helper.make_node("GlobalAveragePool", ["k"], ["p"], "pool"),
        helper.make_node("Flatten", ["p"], ["flat"], "flatten", axis=1),
    ]
    return make_model(nodes, constants, "flat")


def test_a_family_is_what_operators_without_weights_join() -> None:
    graph = read_float_graph(residual_net())
    found = [(sorted(one.tensors), sorted(one.layers)) for one in families(graph)]
    assert (["b"], ["b", "c"]) in found
    assert (["a", "c", "flat", "pooled", "sum"], ["a", "b", "c", "logits"]) in found
    assert tensors_in_float(graph, {"b", "c"}) == {"b"}
    assert tensors_in_float(graph, {"a", "c"}) == set()


def test_what_flows_between_two_layers_in_float_is_not_rounded() -> None:
    smaller = PASS.run(residual_net(), pictures(32), {"float_layers": ["deep", "point"]})
    assert fused_share(smaller).float_layers == ("deep", "point")
    assert "b/float" not in {name for node in onnx.load_from_string(smaller).graph.node for name in node.output}
    assert "b" not in _codes(smaller)
    assert "a" in _codes(smaller)
    fast, exact = (open_model(smaller, one)(pictures(8, seed=2)) for one in ("fast", "exact"))
    np.testing.assert_array_equal(fast, exact)
    np.testing.assert_allclose(fast, open_model(smaller, "reference")(pictures(8, seed=2)), atol=0.05 * fast.std())
    assert [name for name, _ in sqnr(residual_net(), smaller, pictures(4))] == ALL


@pytest.mark.parametrize("name", [*NETS, "residual"])
def test_with_all_layers_in_float_the_answers_are_the_float_models(name: str) -> None:
    """Clamps, sums, pools and gates between them, too."""
    model = residual_net() if name == "residual" else NETS[name][0]
    layers = [str(node.name) for node in onnx.load_from_string(model).graph.node if node.op_type in ("Conv", "Gemm")]
    floats = PASS.run(model, pictures(16), {"float_layers": layers})
    assert not _codes(floats)
    expected, got = (open_model(one, "reference")(pictures(8, seed=1)) for one in (model, floats))
    np.testing.assert_allclose(got, expected, atol=1e-4 * expected.std())


def test_a_map_explains_logits_of_a_head_in_float() -> None:
    model = onnx.load_from_string(residual_net())
    assert add_class_activation(model)
    smaller = PASS.run(model.SerializeToString(), pictures(16), {"float_layers": ALL})
    for output in ("logits", "class_activation"):
        expected, got = (
            open_model(one, "reference", output=output)(pictures(8, seed=1))
            for one in (model.SerializeToString(), smaller)
        )
        np.testing.assert_allclose(got, expected, atol=1e-3 * expected.std())


def _shared_bias() -> bytes:
    """ "deep" and "point" add the same constant; the head has none of its own."""
    draw = np.random.default_rng(3)
    constants: dict[str, NDArray[np.generic]] = {
        "stem.weight": draw.standard_normal((8, 3, 3, 3)).astype(np.float32),
        "deep.weight": draw.standard_normal((8, 8, 3, 3)).astype(np.float32),
        "point.weight": (draw.standard_normal((8, 8, 1, 1)) * 9).astype(np.float32),
        "bias": draw.standard_normal(8).astype(np.float32),
        "head.weight": draw.standard_normal((5, 8)).astype(np.float32),
        "head.bias": draw.standard_normal(5).astype(np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["x", "stem.weight"], ["a"], "stem", kernel_shape=[3, 3], strides=[2, 2]),
        helper.make_node("Relu", ["a"], ["b"], "relu"),
        helper.make_node("Conv", ["b", "deep.weight", "bias"], ["c"], "deep", kernel_shape=[3, 3]),
        helper.make_node("Relu", ["c"], ["d"], "relu_deep"),
        helper.make_node("Conv", ["d", "point.weight", "bias"], ["e"], "point", kernel_shape=[1, 1]),
        helper.make_node("GlobalAveragePool", ["e"], ["p"], "pool"),
        helper.make_node("Flatten", ["p"], ["flat"], "flatten", axis=1),
    ]
    return make_model(nodes, constants, "flat")


@pytest.mark.parametrize(
    "model", [_coarse(), _shared_bias(), residual_net()], ids=["no bias", "shared bias", "residual"]
)
def test_what_is_measured_is_the_model_in_8_bits(model: bytes) -> None:
    """All of it rounded in the float model is what the pass writes, each layer with a bias of its own."""
    images, graph = pictures(32), read_float_graph(model)
    written = PASS.run(model, images, {})
    walk = IntegerWalk(graph, "percentile", 0.9999, pair_safe=True, float_steps=set())
    walk.run(images)
    rounded = _rounded(graph, walk, walk.layers, walk.scales)
    got, expected = (open_model(one, "reference")(pictures(16, seed=1)) for one in (rounded, written))
    one_step = np.abs(expected).max() / 128
    assert np.abs(got - expected).max() < one_step
    one_layer = open_model(_rounded(graph, walk, [next(iter(walk.layers))], ()), "reference")(pictures(16, seed=1))
    float_model = open_model(model, "reference")(pictures(16, seed=1))
    assert 0 < np.abs(one_layer - float_model).max() < np.abs(float_model).max() / 4


def test_layers_are_found_by_what_their_tensor_loses() -> None:
    """Neither layer's weights are at fault: both must be in float to keep what is between them."""
    model, images = _coarse(), pictures(32)
    plain = PASS.run(model, images, {"range_method": "min_max"})
    mixed = PASS.run(model, images, {"range_method": "min_max", "float_share": 0.85})
    assert fused_share(plain).share == 1
    assert {"stem", "mix"} <= set(fused_share(mixed).float_layers)
    assert _error(model, mixed) < 0.5 * _error(model, plain)
    named = PASS.run(model, images, {"range_method": "min_max", "float_layers": list(fused_share(mixed).float_layers)})
    assert named == mixed


@pytest.mark.parametrize("share", [0.0, 0.05, 0.3, 0.8])
def test_no_more_is_left_in_float_than_is_allowed(share: float) -> None:
    for model in (residual_net(), _coarse()):
        mixed = PASS.run(model, pictures(32), {"float_share": share})
        assert fused_share(mixed).share >= 1 - share - 1e-9
        assert _error(model, mixed) <= 1.05 * _error(model, PASS.run(model, pictures(32), {}))


def test_layers_that_are_named_do_not_count() -> None:
    mixed = PASS.run(_coarse(), pictures(32), {"float_layers": ["last"], "float_share": 0.01})
    assert fused_share(mixed).float_layers[:1] == ("last",)
    assert set(fused_share(mixed).float_layers) <= {"last", "head"}


def test_layers_that_share_weights_are_not_chosen_among() -> None:
    with pytest.raises(PassError, match="c, d have the same weights; name"):
        PASS.run(twice(), pictures(16), {"float_share": 0.5})


@pytest.mark.parametrize("share", [-0.1, 1.0, "much"])
def test_a_share_is_a_fraction(share: object) -> None:
    with pytest.raises(RecipeError, match="float_share"):
        PASS.configure({"float_share": share})
