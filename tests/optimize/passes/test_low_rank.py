"""Splitting layers: exact where they are of low rank, least squares where they are not."""

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from optimize.errors import PassError
from optimize.judging.arithmetic import open_model
from optimize.passes import load_pass, output_moments
from tests.optimize.passes.redundant_net import redundant_net
from tests.optimize.small_nets import make_model, pictures, residual_net

Array = NDArray[np.float32]
KINDS = ("Conv", "Gemm", "Gemm, turned", "MatMul")


def dense_net(kind: str, weight: Array, bias: Array) -> bytes:
    """Pixels in blocks, (N, 48, 4, 4), or the first of them; then one layer by ``weight`` (O, 48), of any kind."""
    operator, source = kind.partition(",")[0], {"Conv": "blocks", "MatMul": "rows"}.get(kind, "corner")
    stored = {"Conv": weight[:, :, None, None], "Gemm": weight}.get(kind, np.ascontiguousarray(weight.T))
    attributes = {"Conv": {"strides": [2, 2]}, "Gemm": {"transB": 1}}.get(kind, {})
    names = ["layer.weight"] if kind == "MatMul" else ["layer.weight", "layer.bias"]
    nodes = [
        helper.make_node("SpaceToDepth", ["x"], ["blocks"], "blocks", blocksize=4),
        helper.make_node("Slice", ["blocks", "from", "to", "places"], ["cut"], "cut"),
        helper.make_node("Flatten", ["cut"], ["corner"], "corner"),
        helper.make_node("Transpose", ["blocks"], ["rows"], "rows", perm=[0, 2, 3, 1]),
        helper.make_node(operator, [source, *names], ["y"], "layer", **attributes),
        {
            "Conv": helper.make_node("ReduceMean", ["y", "places"], ["f"], "mean", keepdims=0),
            "MatMul": helper.make_node("ReduceMean", ["y", "middle"], ["f"], "mean", keepdims=0),
        }.get(kind, helper.make_node("Relu", ["y"], ["f"], "relu")),
    ]
    constants: dict[str, NDArray[np.generic]] = {
        "layer.weight": stored,
        "layer.bias": bias,
        "from": np.array([0, 0]),
        "to": np.array([1, 1]),
        "places": np.array([2, 3]),
        "middle": np.array([1, 2]),
        "head.weight": np.random.default_rng(9).standard_normal((10, len(weight))).astype(np.float32),
        "head.bias": np.zeros(10, np.float32),
    }
    return make_model(nodes, constants, "f")


def tensor_of(model: bytes, name: str, of: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Any tensor, as the runtime computes it."""
    wider = onnx.load_from_string(model)
    wider.graph.output.append(helper.make_empty_tensor_value_info(name))
    return open_model(wider.SerializeToString(), "reference", output=name)(of).astype(np.float64)


def nodes_of(model: bytes, operator: str) -> list[str]:
    return [node.name for node in onnx.load_from_string(model).graph.node if node.op_type == operator]


@pytest.mark.parametrize("kind", KINDS)
def test_a_layer_of_low_rank_is_split_without_loss(kind: str) -> None:
    draw = np.random.default_rng(1)
    weight = (draw.standard_normal((32, 5)) @ draw.standard_normal((5, 48))).astype(np.float32)
    model = dense_net(kind, weight, draw.standard_normal(32).astype(np.float32))
    split = load_pass("low_rank").run(model, pictures(64), {"energy": 1.0 - 1e-9})
    operator = kind.partition(",")[0]
    assert nodes_of(split, operator)[:2] == ["layer/first", "layer/second"]
    assert len(split) < len(model) - 4 * (32 * 48 - 5 * (32 + 48)) + 200
    expected, got = (open_model(one, "reference")(pictures(32, seed=7)) for one in (model, split))
    np.testing.assert_allclose(got, expected, atol=2e-5 * np.abs(expected).max())


@pytest.mark.parametrize("kind", KINDS)
def test_the_error_is_the_least_that_so_few_numbers_allow(kind: str) -> None:
    """The principal components left out (Eckart and Young), by numpy's SVD of the outputs themselves."""
    draw = np.random.default_rng(2)
    weight = draw.standard_normal((32, 48)).astype(np.float32)
    model = dense_net(kind, weight, draw.standard_normal(32).astype(np.float32))
    seen = pictures(64)
    split = load_pass("low_rank").run(model, seen, {"energy": 0.8})
    rows, after = (tensor_of(one, "y", seen) for one in (model, split))
    if kind == "Conv":
        rows, after = (one.transpose(0, 2, 3, 1) for one in (rows, after))
    rows, after = rows.reshape(-1, 32), after.reshape(-1, 32)
    singular = np.linalg.svd(rows if kind == "MatMul" else rows - rows.mean(axis=0), compute_uv=False) ** 2
    constants = {one.name: one for one in onnx.load_from_string(split).graph.initializer}
    rank = min(constants["layer/first/weight"].dims[:2])
    assert 1 < rank < 20
    assert singular[:rank].sum() / singular.sum() >= 0.8 > singular[: rank - 1].sum() / singular.sum()
    assert ((rows - after) ** 2).sum() == pytest.approx(singular[rank:].sum(), rel=1e-3)
    if kind != "MatMul":
        np.testing.assert_allclose(after.mean(axis=0), rows.mean(axis=0), atol=1e-4)


def test_directions_that_the_inputs_never_take_are_not_kept() -> None:
    """Of a layer of full rank, fed with grey pictures: 16 of its 48 inputs differ, and 16 numbers hold its outputs."""
    draw = np.random.default_rng(3)
    model = dense_net("Conv", draw.standard_normal((48, 48)).astype(np.float32), np.zeros(48, np.float32))
    grey = np.repeat(pictures(64)[..., :1], 3, axis=3)
    split = load_pass("low_rank").run(model, grey, {"energy": 1.0 - 1e-9})
    constants = {one.name: one for one in onnx.load_from_string(split).graph.initializer}
    assert constants["layer/first/weight"].dims[0] == 16
    expected, got = (open_model(one, "reference")(grey) for one in (model, split))
    np.testing.assert_allclose(got, expected, atol=2e-5 * np.abs(expected).max())


def test_clamps_stay_behind_and_the_last_layer_and_larger_kernels_stay_whole() -> None:
    split = onnx.load_from_string(load_pass("low_rank").run(redundant_net(), pictures(16), {"energy": 0.9}))
    assert [node.name for node in split.graph.node][-7:] == [
        *("relu_deep", "point/first", "point/second", "relu_point", "pool", "flatten", "head")
    ]
    assert {"stem.weight", "deep.weight", "head.weight"} <= {one.name for one in split.graph.initializer}
    assert "point.weight" not in {one.name for one in split.graph.initializer}


def test_macs_falls_to_the_share_and_no_further_than_it_must() -> None:
    """Of 64 places: 864 for the stem, 288 depthwise, 1,536 for the 1×1; and 480 for the head."""
    whole, point = 64 * (864 + 288 + 1536) + 480, 64 * 1536
    for wanted in (0.95, 0.7):
        split = load_pass("low_rank").run(redundant_net(), pictures(16), {"macs": wanted, "least_saving": 0.0})
        constants = {one.name: one for one in onnx.load_from_string(split).graph.initializer}
        rank = constants["point/first/weight"].dims[0]
        left, next_left = (whole - point + 64 * 80 * each for each in (rank, rank + 1))
        assert left <= wanted * whole
        assert next_left > wanted * whole or rank == 19  # 20 · 80 would be more than 1,536


@pytest.mark.parametrize(
    ("parameters", "net", "said"),
    [({"macs": 0.3}, redundant_net, "with rank 1 everywhere 0.4"), ({"macs": 0.5}, residual_net, "does not split")],
)
def test_a_share_out_of_reach_is_refused(parameters: dict[str, object], net: Callable[[], bytes], said: str) -> None:
    with pytest.raises(PassError, match=said):
        load_pass("low_rank").run(net(), pictures(8), parameters)


def test_a_layer_that_saves_too_little_stays() -> None:
    model = redundant_net()
    stays = load_pass("low_rank").run(model, pictures(16), {"energy": 0.99, "least_saving": 0.95})
    assert onnx.load_from_string(stays) == onnx.load_from_string(model)


def test_how_many_pictures_run_at_once_changes_nothing_to_speak_of(monkeypatch: pytest.MonkeyPatch) -> None:
    def logits() -> NDArray[np.float32]:
        split = load_pass("low_rank").run(redundant_net(), pictures(9), {"energy": 0.9})
        return open_model(split, "reference")(pictures(8, seed=1))

    expected = logits()
    monkeypatch.setattr(output_moments, "CHUNK", 1)
    np.testing.assert_allclose(logits(), expected, atol=1e-4)


def test_pictures_of_another_size_and_a_float_input_are_refused() -> None:
    with pytest.raises(PassError, match="while running"):
        load_pass("low_rank").run(redundant_net(), np.zeros((2, 8, 8, 3), np.uint8), {})
    model = onnx.load_from_string(redundant_net())
    model.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    with pytest.raises(PassError, match="uint8"):
        load_pass("low_rank").run(model.SerializeToString(), pictures(2), {})


def test_a_weight_that_two_layers_use_stays() -> None:
    model = onnx.load_from_string(redundant_net())
    square = np.random.default_rng(0).standard_normal((32, 2)) @ np.random.default_rng(1).standard_normal((2, 32))
    model.graph.initializer.append(numpy_helper.from_array(square.astype(np.float32)[:, :, None, None], "twice"))
    place = [node.name for node in model.graph.node].index("point")
    for name, source, target in (("second", "b1", "b2"), ("first", "b", "b1")):
        model.graph.node.insert(place, helper.make_node("Conv", [source, "twice"], [target], name))
    model.graph.node[place + 2].input[0] = "b2"
    split = load_pass("low_rank").run(model.SerializeToString(), pictures(16), {"energy": 0.9})
    assert {"first", "second", "point/first"} <= set(nodes_of(split, "Conv"))
