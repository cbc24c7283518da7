"""The graph for TensorRT: nothing in it that its parser refuses, and the answers of the other one."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from model_zoo.graph_class_activation import add_class_activation, map_error
from optimize.judging.arithmetic import open_model
from optimize.passes.quantize_int8 import QuantizeInt8, quantize_int8, quantize_with_twin
from tests.optimize.passes.test_quantize_int8 import NETS
from tests.optimize.small_nets import pictures, residual_net

MODELS = {"residual": residual_net(), **{name: model for name, (model, _) in NETS.items()}}
CONFIG = QuantizeInt8(range_method="min_max", symmetric_twin=True)


def error(model: bytes, smaller: bytes) -> float:
    expected, got = (open_model(one, "reference")(pictures(64, seed=1)) for one in (model, smaller))
    return float(np.sqrt(((got - expected) ** 2).mean()) / expected.std())


@pytest.mark.parametrize("name", MODELS)
def test_a_twin_answers_nearly_as_before_and_keeps_tensorrt_s_rules(name: str) -> None:
    model = MODELS[name]
    smaller, twin = quantize_with_twin(model, pictures(32), CONFIG)
    assert smaller == quantize_int8(model, pictures(32), CONFIG)
    assert error(model, twin) < 0.05
    graph = onnx.load_from_string(twin).graph
    constants = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    rounded = 0
    for node in graph.node:
        assert not {"images"}.intersection(node.input) or node.op_type == "Cast", "bytes are cast and nothing else"
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
            continue
        rounded += 1
        data, scale, zero = node.input
        assert constants[zero].dtype == np.int8
        assert not constants[zero].any()
        assert (constants[scale] > 0).all()
        if data in constants:
            assert constants[data].dtype == np.int8, "a bias is float"
            assert constants[scale].shape == (len(constants[data]),)
            assert [one.i for one in node.attribute if one.name == "axis"] == [0]
        else:
            assert constants[scale].shape == ()
    assert rounded >= 3
    assert TensorProto.UINT8 not in {one.data_type for one in graph.initializer}


def test_a_layer_is_not_parted_from_the_sum_after_it_and_the_first_is_float() -> None:
    _, twin = quantize_with_twin(residual_net(), pictures(16), CONFIG)
    graph = onnx.load_from_string(twin).graph
    total = next(node for node in graph.node if node.op_type == "Add")
    assert list(total.input) == ["c", "a/real"]
    before, after = ({one.name: one for one in onnx.load_from_string(data).graph.initializer}
                     for data in (residual_net(), twin))  # fmt: skip
    assert before["stem.weight"] == after["stem.weight"]
    assert "deep.weight" not in after


def test_a_class_activation_map_is_kept_and_looks_up_no_codes() -> None:
    model = onnx.load_from_string(residual_net())
    assert add_class_activation(model)
    parent = model.SerializeToString()
    _, twin = quantize_with_twin(parent, pictures(32), CONFIG)
    graph = onnx.load_from_string(twin).graph
    assert [one.name for one in graph.output] == ["logits", "class_activation"]
    codes = {one.name for one in graph.initializer if one.data_type == TensorProto.INT8}
    read = {node.op_type for node in graph.node if codes.intersection(node.input)}
    assert read == {"QuantizeLinear", "DequantizeLinear"}
    seen = pictures(16, seed=1)
    logits, maps = (open_model(twin, "reference", output=one)(seen) for one in ("logits", "class_activation"))
    assert map_error(model, logits, maps) < 0.02
    np.testing.assert_array_equal(
        logits, open_model(quantize_with_twin(residual_net(), pictures(32), CONFIG)[1], "reference")(seen)
    )
