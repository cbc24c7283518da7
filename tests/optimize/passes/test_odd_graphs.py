"""Graphs that are legal and unusual: quantised rightly, or refused in words."""

from collections.abc import Callable

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from optimize.errors import PassError
from optimize.judging.arithmetic import open_model
from optimize.judging.fused import fused_share
from optimize.passes import load_pass
from optimize.passes.activation_range import activation_range
from optimize.passes.sensitivity import sqnr
from tests.optimize.small_nets import make_model, pictures, residual_net

PASS = load_pass("quantize_int8")
Constants = dict[str, NDArray[np.generic]]


def quantised(model: bytes) -> bytes:
    return PASS.run(model, pictures(32), {"range_method": "min_max"})


def error(model: bytes, smaller: bytes) -> float:
    """Of the answers, in their own spread."""
    expected, got = (open_model(one, "reference")(pictures(64, seed=1)) for one in (model, smaller))
    return float(np.sqrt(((got - expected) ** 2).mean()) / expected.std())


def drawn(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    return (np.random.default_rng(seed).standard_normal(shape) * 0.4).astype(np.float32)


def net(nodes: list[onnx.NodeProto], **constants: NDArray[np.generic]) -> bytes:
    """A convolution "c" of 8 channels, the nodes to "f", pooling and a head of 5 classes."""
    given: Constants = {
        "stem.weight": drawn(8, 3, 3, 3),
        "head.weight": drawn(5, 8, seed=1),
        "head.bias": drawn(5, seed=2),
        **constants,
    }
    start = helper.make_node("Conv", ["x", "stem.weight"], ["c"], "stem", pads=[1, 1, 1, 1], kernel_shape=[3, 3])
    end = [
        helper.make_node("GlobalAveragePool", ["f"], ["pooled"], "pool"),
        helper.make_node("Flatten", ["pooled"], ["flat"], "flatten"),
    ]
    return make_model([start, *nodes, *end], given, "flat")


def changed(model: bytes, change: Callable[[onnx.ModelProto], None]) -> bytes:
    parsed = onnx.load_from_string(model)
    change(parsed)
    return bytes(parsed.SerializeToString())


def test_a_clamp_at_the_models_output_stays() -> None:
    def clamp(model: onnx.ModelProto) -> None:
        model.graph.node[-1].output[0] = "before"
        model.graph.node.append(helper.make_node("Relu", ["before"], ["logits"], "last"))

    model = changed(residual_net(), clamp)
    smaller = quantised(model)
    assert open_model(smaller, "reference")(pictures(64, seed=1)).min() >= 0
    assert error(model, smaller) < 0.1


def test_a_clamp_away_from_zero_stays() -> None:
    nodes = [helper.make_node("Clip", ["c", "low"], ["f"], "clip")]
    model = net(nodes, low=np.array(0.3, np.float32))
    assert error(model, quantised(model)) < 0.1


def test_norms_that_share_a_gain_keep_their_own_shifts() -> None:
    """As norms without a gain do once equal constants are one."""

    def norm(name: str, source: str, target: str) -> onnx.NodeProto:
        names = [source, "one", *(f"{name}.{part}" for part in ("bias", "mean", "var"))]
        return helper.make_node("BatchNormalization", names, [target], name)

    constants: Constants = {"one": np.ones(8, np.float32)}
    for seed, name in enumerate(("first", "second")):
        constants |= {f"{name}.bias": drawn(8, seed=5 + seed), f"{name}.mean": drawn(8, seed=7 + seed)}
        constants[f"{name}.var"] = np.abs(drawn(8, seed=9 + seed)) + 0.3
    nodes = [helper.make_node("Relu", ["c"], ["a"], "relu"), norm("first", "a", "b"), norm("second", "a", "d"),
             helper.make_node("Add", ["b", "d"], ["f"], "sum")]  # fmt: skip
    model = net(nodes, **constants)
    assert error(model, quantised(model)) < 0.1


def test_channels_turned_round_before_the_first_layer_are_refused_where_each_has_its_own_mean() -> None:
    nodes = [
        helper.make_node("Slice", ["x", "starts", "ends", "axes", "steps"], ["turned_x"], "bgr"),
        helper.make_node("Conv", ["turned_x", "stem.weight"], ["g"], "other", pads=[1, 1, 1, 1], kernel_shape=[3, 3]),
        helper.make_node("Add", ["c", "g"], ["f"], "sum"),
    ]
    model = net(
        nodes,
        starts=np.array([-1]),
        ends=np.array([-4]),
        axes=np.array([1]),
        steps=np.array([-1]),
        mean=np.array([123.675, 116.28, 103.53], np.float32).reshape(1, 3, 1, 1),
    )
    with pytest.raises(PassError, match="'bgr'"):
        quantised(model)


def test_a_last_layer_of_another_form_is_refused() -> None:
    def transposed(model: onnx.ModelProto) -> None:
        del model.graph.node[-1].attribute[:]
        (head,) = (one for one in model.graph.initializer if one.name == "head.weight")
        head.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(numpy_helper.to_array(head).T), "head.weight"))

    with pytest.raises(PassError, match="transB = 1"):
        quantised(changed(residual_net(), transposed))


def test_a_constant_called_bias_is_nobody_elses() -> None:
    """The first layer has none of its own, and takes over the means."""
    nodes = [
        helper.make_node("Relu", ["c"], ["a"], "relu"),
        helper.make_node("Conv", ["a", "mixed", "bias"], ["f"], "mix", kernel_shape=[1, 1]),
    ]
    model = net(
        nodes,
        bias=drawn(8, seed=3) + 3,
        mixed=drawn(8, 8, 1, 1, seed=4),
        mean=np.array([123.675, 116.28, 103.53], np.float32).reshape(1, 3, 1, 1),
    )

    def unpadded(parsed: onnx.ModelProto) -> None:
        stem = next(node for node in parsed.graph.node if node.name == "stem")
        del stem.attribute[:]
        stem.attribute.extend([helper.make_attribute("kernel_shape", [3, 3])])

    model = changed(model, unpadded)
    assert error(model, quantised(model)) < 0.1


def test_an_old_opset_is_refused_with_what_to_do() -> None:
    def older(model: onnx.ModelProto) -> None:
        model.opset_import[0].version = 11

    with pytest.raises(PassError, match=r"opset 11.*convert_version"):
        quantised(changed(residual_net(), older))


def test_entropy_of_values_far_from_zero_keeps_them() -> None:
    low, high = activation_range([torch.linspace(9, 10, 100)[None]], "entropy", 0.9)
    assert low == 0
    assert 9 <= high <= 10


def test_a_norm_of_rows_is_quantised() -> None:
    def normed(model: onnx.ModelProto) -> None:
        values = {"gain": 1.5, "offset": 0.2, "middle": 0.1, "spread": 0.7}
        for name, value in values.items():
            model.graph.initializer.append(numpy_helper.from_array(np.full(8, value, np.float32), name))
        head = next(node for node in model.graph.node if node.name == "head")
        norm = helper.make_node("BatchNormalization", ["flat", *values], ["rows"], "norm")
        model.graph.node.insert(list(model.graph.node).index(head), norm)
        head.input[0] = "rows"

    model = changed(residual_net(), normed)
    smaller = quantised(model)
    assert error(model, smaller) < 0.1
    assert fused_share(smaller).share == 1


def test_a_concat_with_a_constant_is_refused() -> None:
    nodes = [
        helper.make_node("Concat", ["c", "fixed"], ["wide"], "beside", axis=1),
        helper.make_node("Conv", ["wide", "mixed"], ["f"], "mix", kernel_shape=[1, 1]),
    ]
    model = net(nodes, fixed=drawn(1, 2, 16, 16), mixed=drawn(8, 10, 1, 1))
    with pytest.raises(PassError, match=r"'beside'.*takes a constant"):
        quantised(model)


def test_constants_listed_as_inputs_change_nothing() -> None:
    def listed(model: onnx.ModelProto) -> None:
        old = [helper.make_tensor_value_info(one.name, one.data_type, one.dims) for one in model.graph.initializer]
        pixels = model.graph.input[0]
        inputs = [*old, pixels]
        del model.graph.input[:]
        model.graph.input.extend(inputs)

    smaller = quantised(changed(residual_net(), listed))
    assert smaller == quantised(residual_net())
    assert fused_share(changed(smaller, listed)) == fused_share(smaller)


@pytest.mark.parametrize("data", [b"", b"garbage", residual_net()[:300]])
def test_what_is_no_model_is_refused(data: bytes) -> None:
    for take in (quantised, fused_share, lambda one: sqnr(one, one, pictures(1))):
        with pytest.raises(PassError, match="not an ONNX model"):
            take(data)
