"""Float16 models are read as float32: the 8 bits that come out are those of the float32 model with the same weights."""

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from model_zoo.onnx_facts import read_precision
from optimize.judging.arithmetic import open_model
from optimize.passes import load_pass
from optimize.passes.float32 import widen
from tests.optimize.small_nets import pictures, residual_net

NONE = pictures(1)[:0]


def rounded_net() -> bytes:
    """Its weights are numbers of float16, its arithmetic is of float32."""
    model = onnx.load_from_string(residual_net())
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            values = numpy_helper.to_array(tensor).astype(np.float16).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    data: bytes = model.SerializeToString()
    return data


def all_in_halves() -> bytes:
    """As a trainer in float16 would export it, the logits too."""
    model = onnx.load_from_string(rounded_net())
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), tensor.name))
    next(node for node in model.graph.node if node.op_type == "Cast").attribute[0].i = TensorProto.FLOAT16
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.FLOAT16
    onnx.checker.check_model(model, full_check=True)
    data: bytes = model.SerializeToString()
    return data


def constant_nodes() -> bytes:
    """The same, with weights that nodes hold."""
    model = onnx.load_from_string(all_in_halves())
    held = [one for one in model.graph.initializer if one.name.endswith("weight")]
    for tensor in held:
        model.graph.initializer.remove(tensor)
        model.graph.node.insert(0, onnx.helper.make_node("Constant", [], [tensor.name], value=tensor))
    onnx.checker.check_model(model, full_check=True)
    data: bytes = model.SerializeToString()
    return data


def stored_in_halves() -> bytes:
    """Weights of 16 bits, each with a cast of its own: what the pass ``float16`` makes of larger layers."""
    model = onnx.load_from_string(rounded_net())
    for tensor in model.graph.initializer:
        if tensor.name.endswith("weight"):
            name = tensor.name
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), f"{name}/half"))
            model.graph.node.insert(0, onnx.helper.make_node("Cast", [tensor.name], [name], to=TensorProto.FLOAT))
    data: bytes = model.SerializeToString()
    return data


def logits(model: bytes) -> NDArray[np.float32]:
    return np.asarray(open_model(model, "reference")(pictures(12, seed=3)))


HALVES = {
    "all in halves": all_in_halves,
    "weights in nodes": constant_nodes,
    "stored": stored_in_halves,
    "computing": lambda: load_pass("float16").run(rounded_net(), NONE, {"form": "compute"}),
}


@pytest.mark.parametrize("form", HALVES)
def test_wide_again_it_computes_what_it_stood_for(form: str) -> None:
    model = onnx.load_from_string(HALVES[form]())
    widen(model)
    onnx.checker.check_model(model, full_check=True)
    assert [node.op_type for node in model.graph.node].count("Cast") == 1, "only the pixels' is left"
    assert all(tensor.data_type != TensorProto.FLOAT16 for tensor in model.graph.initializer)
    np.testing.assert_array_equal(logits(model.SerializeToString()), logits(rounded_net()))


@pytest.mark.parametrize("form", HALVES)
def test_int8_of_it_is_int8_of_the_float32_model(form: str) -> None:
    small = load_pass("quantize_int8")
    expected = small.run(rounded_net(), pictures(20), {})
    got = small.run(HALVES[form](), pictures(20), {})
    np.testing.assert_array_equal(logits(got), logits(expected))


@pytest.mark.parametrize("form", HALVES)
def test_the_pass_writes_what_other_passes_read(form: str) -> None:
    wide = load_pass("float32").run(HALVES[form](), NONE, {})
    assert read_precision(onnx.load_from_string(wide)) == "fp32"
    np.testing.assert_array_equal(logits(wide), logits(rounded_net()))
    clustered = load_pass("cluster_weights").run(wide, NONE, {"entries": 4, "least_weights": 64})
    assert np.abs(logits(clustered) - logits(wide)).max() > 0


def test_float32_stays_as_it_is() -> None:
    assert load_pass("float32").run(residual_net(), NONE, {}) == residual_net()
    model = onnx.load_from_string(residual_net())
    assert not widen(model)
    assert model.SerializeToString() == residual_net()
