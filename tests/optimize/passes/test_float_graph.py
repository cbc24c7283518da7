"""Reading a float graph: normalisation, clamps, and what is refused."""

from math import inf

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from optimize.errors import PassError
from optimize.passes.float_graph import read_float_graph
from tests.optimize.small_nets import residual_net


def _edited(name: str, value: float) -> bytes:
    model = onnx.load_from_string(residual_net())
    for tensor in model.graph.initializer:
        if tensor.name == name:
            array = numpy_helper.to_array(tensor).copy()
            array.flat[0] = value
            tensor.CopyFrom(numpy_helper.from_array(array, name))
    data: bytes = model.SerializeToString()
    return data


def test_normalisation_becomes_one_scale_and_zero() -> None:
    graph = read_float_graph(residual_net())
    assert (graph.pixels, graph.first, graph.scale, graph.zero) == ("images", "x", 1 / 128, 127)


def test_clamps_join_the_operator_before_them() -> None:
    steps = {step.output: step for step in read_float_graph(residual_net()).steps}
    assert [step.op for step in steps.values()] == [
        "Conv",
        "Conv",
        "Conv",
        "Add",
        "GlobalAveragePool",
        "Flatten",
        "Gemm",
    ]
    assert (steps["a"].low, steps["a"].high) == (0, 6)
    assert (steps["b"].low, steps["b"].high) == (0, inf)
    assert (steps["c"].low, steps["c"].high) == (-inf, inf)


@pytest.mark.parametrize(("name", "value"), [("mean", 100.0), ("mean", 126.5), ("inverse_std", 0.5)])
def test_normalisation_that_differs_by_channel_is_refused(name: str, value: float) -> None:
    with pytest.raises(PassError, match="one std and one whole mean"):
        read_float_graph(_edited(name, value))


def test_float_input_is_refused() -> None:
    model = onnx.load_from_string(residual_net())
    model.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    with pytest.raises(PassError, match="uint8"):
        read_float_graph(model.SerializeToString())


def test_clamp_of_a_shared_tensor_is_refused() -> None:
    model = onnx.load_from_string(residual_net())
    add = next(node for node in model.graph.node if node.op_type == "Add")
    add.input[1] = "stem"  # before its clamp
    with pytest.raises(PassError, match="clip_stem"):
        read_float_graph(model.SerializeToString())


def test_divided_pixels_are_understood_too() -> None:
    model = onnx.load_from_string(residual_net())
    node = next(node for node in model.graph.node if node.op_type == "Mul")
    node.CopyFrom(helper.make_node("Div", ["centred", "std"], ["x"], name="scale"))
    model.graph.initializer.append(numpy_helper.from_array(np.full((1, 3, 1, 1), 128, np.float32), "std"))
    graph = read_float_graph(model.SerializeToString())
    assert (graph.scale, graph.zero) == (1 / 128, 127)
