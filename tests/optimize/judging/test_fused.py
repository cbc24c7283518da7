"""What the runtime computes in integers, on graphs where that is known."""

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from model_zoo.graph_class_activation import add_class_activation
from optimize.errors import PassError
from optimize.judging.fused import fused_share
from optimize.passes import load_pass
from tests.optimize.small_nets import make_model, pictures, residual_net

PLACES = 64  # of each of the residual net's convolutions


@pytest.fixture(scope="module")
def quantised() -> bytes:
    return load_pass("quantize_int8").run(residual_net(), pictures(8), {})


def test_a_float_model_has_none() -> None:
    fused = fused_share(residual_net())
    assert fused.share == 0
    assert fused.float_layers == ("stem", "deep", "point", "head")


def test_a_quantised_model_has_all(quantised: bytes) -> None:
    fused = fused_share(quantised)
    assert fused.share == 1
    assert fused.float_layers == ()


def test_a_layer_left_in_float_shows_with_its_work() -> None:
    model = load_pass("quantize_int8").run(residual_net(), pictures(8), {"float_layers": ["deep"]})
    fused = fused_share(model)
    assert fused.float_layers == ("deep",)
    assert fused.share == pytest.approx(1 - 72 * PLACES / ((216 + 72 + 64) * PLACES + 80))


def test_a_map_does_not_count(quantised: bytes) -> None:
    model = onnx.load_from_string(quantised)
    assert add_class_activation(model)
    assert fused_share(model.SerializeToString()).share == 1


def test_layers_without_names_are_told_by_what_they_give(quantised: bytes) -> None:
    model = onnx.load_from_string(residual_net())
    for node in model.graph.node:
        node.name = ""
    assert fused_share(model.SerializeToString()).float_layers == ("Conv:stem", "Conv:deep", "Conv:c", "Gemm:logits")


def _by_the_runtimes_own_tool(folder: Path, *, signed: bool) -> bytes:
    tool = pytest.importorskip("onnxruntime.quantization", reason="needs onnxruntime's quantisation tool")

    class Reader(tool.CalibrationDataReader):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            self._rest: Iterator[NDArray[np.uint8]] = iter(pictures(4))

        def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
            one = next(self._rest, None)
            return None if one is None else {"images": one[None]}

    kinds = tool.QuantType
    logging.disable(logging.WARNING)
    tool.quantize_static(
        onnx.load_from_string(residual_net()),
        folder / "made.onnx",
        Reader(),
        quant_format=tool.QuantFormat.QDQ,
        per_channel=True,
        activation_type=kinds.QInt8 if signed else kinds.QUInt8,
        weight_type=kinds.QInt8,
    )
    logging.disable(logging.NOTSET)
    return (folder / "made.onnx").read_bytes()


def test_unsigned_activations_fuse_what_signed_ones_leave_in_float(tmp_path: Path) -> None:
    assert fused_share(_by_the_runtimes_own_tool(tmp_path, signed=False)).share == 1
    assert fused_share(_by_the_runtimes_own_tool(tmp_path, signed=True)).share < 1


def test_another_backend_is_refused(quantised: bytes) -> None:
    with pytest.raises(PassError, match="ask 'onnxruntime'"):
        fused_share(quantised, "openvino")


def test_a_model_without_layers_is_refused() -> None:
    model = onnx.load_from_string(residual_net())
    del model.graph.node[:]
    model.graph.node.append(helper.make_node("Cast", ["images"], ["logits"], to=1))
    with pytest.raises(PassError, match="nothing to look at"):
        fused_share(model.SerializeToString())


def test_a_product_of_two_computed_tensors_counts() -> None:
    constants = {
        "head.weight": np.ones((5, 3), np.float32),
        "head.bias": np.zeros(5, np.float32),
        "axes": np.array([2, 3], np.int64),
    }
    nodes = [
        helper.make_node("MatMul", ["x", "x"], ["product"], "product"),
        helper.make_node("ReduceMean", ["product", "axes"], ["flat"], "mean", keepdims=0),
    ]
    assert fused_share(make_model(nodes, constants, "flat")).float_layers == ("product", "head")


def test_a_shape_that_can_not_be_known_is_said() -> None:
    model = onnx.load_from_string(residual_net())
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_param = "height"
    model.graph.initializer.append(numpy_helper.from_array(np.zeros(1, np.int64), "unused"))
    with pytest.raises(PassError, match="can't be inferred"):
        fused_share(model.SerializeToString())
