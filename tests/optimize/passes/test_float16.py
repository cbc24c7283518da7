"""Half precision, against numpy's own."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from model_zoo.onnx_facts import read_precision
from optimize.errors import PassError
from optimize.judging.arithmetic import open_model
from optimize.passes import load_pass
from tests.optimize.passes.redundant_net import redundant_net
from tests.optimize.small_nets import pictures

NONE = pictures(1)[:0]


def with_weights(name: str, value: float, *, rounded: bool = False) -> bytes:
    """The net with this as the first number of a constant; ``rounded``: all large constants rounded to float16."""
    model = onnx.load_from_string(redundant_net())
    for tensor in model.graph.initializer:
        array = numpy_helper.to_array(tensor).copy()
        if rounded and array.size >= 256:
            array = array.astype(np.float16).astype(np.float32)
        if tensor.name == name:
            array.flat[0] = value
        tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    data: bytes = model.SerializeToString()
    return data


def test_storage_is_the_net_with_rounded_weights_and_half_the_bytes() -> None:
    model = redundant_net()
    stored = load_pass("float16").run(model, NONE, {})
    expected = open_model(with_weights("", 0, rounded=True), "reference")(pictures(8))
    np.testing.assert_array_equal(open_model(stored, "reference")(pictures(8)), expected)
    sizes = [one.dims for one in onnx.load_from_string(model).graph.initializer]
    large = sum(4 * int(np.prod(one)) for one in sizes if np.prod(one) >= 256)
    assert len(stored) < len(model) - large / 2 + 800


def test_the_runtime_computes_the_weights_once_when_it_loads(tmp_path: Path) -> None:
    def operators(model: bytes) -> list[str]:
        open_model(model, "fast", save_optimised=tmp_path / "optimised.onnx")
        return [node.op_type for node in onnx.load(tmp_path / "optimised.onnx").graph.node]

    assert operators(load_pass("float16").run(redundant_net(), NONE, {})) == operators(redundant_net())


def test_compute_has_no_float32_layer_left() -> None:
    model = onnx.load_from_string(load_pass("float16").run(redundant_net(), NONE, {"form": "compute"}))
    assert read_precision(model) == "fp16"
    types = {
        one.name: one.type.tensor_type.elem_type for one in onnx.shape_inference.infer_shapes(model).graph.value_info
    }
    made = [types.get(node.output[0]) for node in model.graph.node if node.op_type in ("Conv", "Gemm")]
    assert made == [TensorProto.FLOAT16] * len(made) and made


@pytest.mark.parametrize("form", ["storage", "compute"])
def test_a_weight_that_float16_can_not_hold_is_refused(form: str) -> None:
    with pytest.raises(PassError, match=r"'stem.weight' reach 65505.*65504"):
        load_pass("float16").run(with_weights("stem.weight", -65505), NONE, {"form": form})
    with pytest.raises(PassError, match=r"'stem.weight' hold what is no number"):
        load_pass("float16").run(with_weights("stem.weight", np.nan), NONE, {"form": form})
    load_pass("float16").run(with_weights("stem.weight", 65504), NONE, {"form": form})


@pytest.mark.parametrize("form", ["storage", "compute"])
def test_what_is_too_small_becomes_nothing(form: str) -> None:
    tiny, nothing = (with_weights("stem.weight", value, rounded=True) for value in (1e-9, 0))
    got, expected = (load_pass("float16").run(one, NONE, {"form": form}) for one in (tiny, nothing))
    assert got == expected


def test_an_int8_model_is_stored_as_it_is_and_does_not_compute_in_float16() -> None:
    integer = load_pass("quantize_int8").run(redundant_net(), pictures(8), {})
    stored = load_pass("float16").run(integer, NONE, {})
    assert onnx.load_from_string(stored) == onnx.load_from_string(integer)
    with pytest.raises(PassError, match="INT8"):
        load_pass("float16").run(integer, NONE, {"form": "compute"})
