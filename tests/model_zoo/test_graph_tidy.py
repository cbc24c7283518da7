"""Tidying a graph: the same results, stable names, nothing that is not needed."""

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from model_zoo.graph_tidy import drop_prefix, set_metadata, tidy


def tensor(name: str, values: NDArray[np.generic]) -> onnx.TensorProto:
    return numpy_helper.from_array(values, name)


def untidy(keepdims: int = 0, axes: tuple[int, ...] = (2, 3)) -> onnx.ModelProto:
    """Convolution, two clips with equal bounds, a mean, a dead branch, traces everywhere."""
    weight = np.random.default_rng(0).standard_normal((4, 3, 1, 1)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["x", "model.stem.weight"], ["val_7"], name="node_Conv_812"),
        helper.make_node("Clip", ["val_7", "low", "high"], ["val_9"]),
        helper.make_node("Shape", ["val_9"], ["unused"]),
        helper.make_node("Clip", ["val_9", "low_too", "high"], ["val_11"]),
        helper.make_node("ReduceMean", ["val_11", "axes"], ["logits"], keepdims=keepdims),
    ]
    nodes[0].doc_string = "File /home/someone/net.py, line 3"
    nodes[0].metadata_props.add(key="pkg.torch.onnx.stack_trace", value="/home/someone")
    constants = [
        tensor("model.stem.weight", weight),
        tensor("low", np.float32(0).reshape(())),
        tensor("low_too", np.float32(0).reshape(())),
        tensor("high", np.float32(6).reshape(())),
        tensor("axes", np.array(axes, np.int64)),
        tensor("never_used", np.zeros(3, np.float32)),
    ]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 5, 5])]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, None)]
    graph = helper.make_graph(nodes, "main_graph_0x7f", inputs, outputs, constants, doc_string="made at 12:03")
    return helper.make_model(graph, producer_name="pytorch", opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def run(model: onnx.ModelProto) -> NDArray[np.float32]:
    pictures = np.random.default_rng(1).standard_normal((2, 3, 5, 5)).astype(np.float32)
    result: NDArray[np.float32] = ReferenceEvaluator(model).run(None, {"x": pictures})[0]
    return result


@pytest.mark.parametrize("keepdims", [0, 1])
@pytest.mark.parametrize("axes", [(2, 3), (-1, -2)])
def test_the_result_stays(keepdims: int, axes: tuple[int, ...]) -> None:
    before = run(untidy(keepdims, axes))
    after = run(tidy(untidy(keepdims, axes)))
    assert before.shape == after.shape
    np.testing.assert_allclose(after, before, rtol=1e-6, atol=1e-6)


def test_a_mean_over_the_picture_becomes_a_pool() -> None:
    assert [node.op_type for node in tidy(untidy()).graph.node] == [
        "Conv",
        "Clip",
        "Clip",
        "GlobalAveragePool",
        "Flatten",
    ]


def test_another_mean_stays() -> None:
    assert tidy(untidy(axes=(1, 2))).graph.node[-1].op_type == "ReduceMean"


def reshaped(shape: tuple[int, ...]) -> onnx.ModelProto:
    """A 1×1 convolution to 4 channels of 5×5, reshaped."""
    model = untidy()
    del model.graph.node[1:]
    model.graph.node.append(helper.make_node("Reshape", ["val_7", "shape"], ["logits"]))
    model.graph.initializer.append(tensor("shape", np.array(shape, np.int64)))
    return model


@pytest.mark.parametrize(
    ("shape", "operator"),
    [((-1, 100), "Flatten"), ((-1, 50), "Reshape"), ((2, 100), "Reshape"), ((-1, 4, 25), "Reshape")],
)
def test_only_a_reshape_to_one_row_a_picture_is_a_flatten(shape: tuple[int, ...], operator: str) -> None:
    before, model = run(reshaped(shape)), tidy(reshaped(shape))
    assert [node.op_type for node in model.graph.node] == ["Conv", operator]
    assert np.array_equal(run(model), before)


def test_nodes_are_named_after_their_layer() -> None:
    model = untidy()
    drop_prefix(model, "model.")
    names = [node.name for node in tidy(model).graph.node]
    assert names == ["stem", "Clip_1", "Clip_2", "GlobalAveragePool_1", "Flatten_1"]


def test_a_prefix_stays_where_two_would_be_alike() -> None:
    model = untidy()
    model.graph.initializer.append(tensor("stem.weight", np.zeros(1, np.float32)))
    drop_prefix(model, "model.")
    names = [constant.name for constant in model.graph.initializer]
    assert len(set(names)) == len(names)
    np.testing.assert_array_equal(run(model), run(untidy()))


def test_dead_ends_and_doubles_go() -> None:
    assert {constant.name for constant in tidy(untidy()).graph.initializer} == {"model.stem.weight", "low", "high"}


def test_traces_go() -> None:
    data = tidy(untidy()).SerializeToString()
    for trace in (b"someone", b"12:03", b"0x7f", b"pytorch", b"val_7", b"812"):
        assert trace not in data


def test_tidying_twice_changes_nothing() -> None:
    once = tidy(untidy()).SerializeToString(deterministic=True)
    assert tidy(onnx.load_from_string(once)).SerializeToString(deterministic=True) == once


def test_metadata_replaces_what_was_there() -> None:
    model = untidy()
    model.metadata_props.add(key="old", value="1")
    set_metadata(model, {"task": "classify", "imgsz": "[5, 5]"})
    assert [(entry.key, entry.value) for entry in model.metadata_props] == [("task", "classify"), ("imgsz", "[5, 5]")]
