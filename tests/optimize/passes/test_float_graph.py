"""Reading a float graph: normalisation, clamps, and what is refused."""

from math import inf

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from optimize.errors import PassError
from optimize.passes.float_graph import read_float_graph
from optimize.passes.pixel_input import PixelInput
from tests.optimize.small_nets import residual_net


def test_normalisation_becomes_one_scale_and_zero() -> None:
    assert read_float_graph(residual_net()).input == PixelInput("images", "x", 1 / 128, 127)


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


def test_float_input_is_refused() -> None:
    model = onnx.load_from_string(residual_net())
    model.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    with pytest.raises(PassError, match="uint8"):
        read_float_graph(model.SerializeToString())


def test_a_clamp_of_a_shared_tensor_is_a_step_of_its_own() -> None:
    model = onnx.load_from_string(residual_net())
    add = next(node for node in model.graph.node if node.op_type == "Add")
    add.input[1] = "stem"  # before its clamp
    steps = {step.output: step for step in read_float_graph(model.SerializeToString()).steps}
    assert (steps["stem"].op, steps["stem"].high) == ("Conv", inf)
    assert (steps["a"].op, steps["a"].low, steps["a"].high) == ("Clip", 0, 6)


def test_divided_pixels_are_understood_too() -> None:
    model = onnx.load_from_string(residual_net())
    node = next(node for node in model.graph.node if node.op_type == "Mul")
    node.CopyFrom(helper.make_node("Div", ["centred", "std"], ["x"], name="scale"))
    model.graph.initializer.append(numpy_helper.from_array(np.full((1, 3, 1, 1), 128, np.float32), "std"))
    graph = read_float_graph(model.SerializeToString())
    assert (graph.input.scale, graph.input.zero) == (1 / 128, 127)
