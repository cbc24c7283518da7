"""Zeros by magnitude, against a plain loop."""

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper

from optimize.errors import RecipeError
from optimize.passes import load_pass
from tests.optimize.passes.redundant_net import redundant_net
from tests.optimize.small_nets import pictures

NONE = pictures(1)[:0]
LAYERS = ("stem.weight", "point.weight", "head.weight")


def constants(model: bytes) -> dict[str, NDArray[np.float32]]:
    return {one.name: numpy_helper.to_array(one) for one in onnx.load_from_string(model).graph.initializer}


def removed_one_by_one(layers: dict[str, NDArray[np.float32]], count: int) -> dict[str, NDArray[np.float32]]:
    """LAMP as it reads: again and again, the weight that is the least share of what its layer has left."""
    left = {name: array.copy() for name, array in layers.items()}
    for _ in range(count):
        candidates = []
        for name, array in left.items():
            rest = array[array != 0].astype(np.float64)
            if rest.size:
                candidates.append(((rest**2).min() / (rest**2).sum(), name))
        name = min(candidates)[1]
        array = left[name]
        array.flat[np.where(array == 0, np.inf, np.abs(array)).argmin()] = 0
    return left


@pytest.mark.parametrize("share", [0.01, 0.1, 0.25])
def test_the_least_by_lamp_are_gone(share: float) -> None:
    model = redundant_net()
    before, after = constants(model), constants(load_pass("sparsify").run(model, NONE, {"share": share}))
    layers = {name: before[name] for name in LAYERS}
    expected = removed_one_by_one(layers, round(share * sum(one.size for one in layers.values())))
    for name in before:
        np.testing.assert_array_equal(after[name], expected.get(name, before[name]))


def test_two_of_every_four_inputs_are_kept_and_they_are_the_larger() -> None:
    model = redundant_net()
    before, after = constants(model), constants(load_pass("sparsify").run(model, NONE, {"pattern": "2:4"}))
    for name in ("point.weight", "head.weight"):
        rows = [one.reshape(len(one), -1) for one in (before[name], after[name])]
        for whole, kept in zip(*(one.reshape(-1, 4) for one in rows), strict=True):
            assert (kept != 0).sum() == 2
            np.testing.assert_array_equal(np.sort(np.abs(kept))[2:], np.sort(np.abs(whole))[2:])
    for name in ("stem.weight", "deep.weight"):  # three inputs; one
        np.testing.assert_array_equal(after[name], before[name])


def test_the_fours_of_a_transposed_layer_lie_along_its_inputs() -> None:
    model = onnx.load_from_string(redundant_net())
    head = next(one for one in model.graph.initializer if one.name == "head.weight")
    turned = np.ascontiguousarray(numpy_helper.to_array(head).T)
    head.CopyFrom(numpy_helper.from_array(turned, "head.weight"))
    next(node for node in model.graph.node if node.op_type == "Gemm").ClearField("attribute")
    after = constants(load_pass("sparsify").run(model.SerializeToString(), NONE, {"pattern": "2:4"}))["head.weight"]
    assert ((after != 0).reshape(12, 4, 10).sum(axis=1) == 2).all()


def test_the_file_keeps_its_size_and_a_share_out_of_bounds_is_refused() -> None:
    model = redundant_net()
    assert len(load_pass("sparsify").run(model, NONE, {})) <= len(model) + 8
    for share in (0.0, 1.0, -1.0):
        with pytest.raises(RecipeError, match="share"):
            load_pass("sparsify").configure({"share": share})


@pytest.mark.parametrize(
    ("name", "parameters"), [("sparsify", {}), ("cluster_weights", {"entries": 4, "least_weights": 1})]
)
def test_the_first_layer_of_a_grey_net_is_no_depthwise_one(name: str, parameters: dict[str, object]) -> None:
    """Both see one channel; a depthwise layer sees one of several at a time."""
    model = onnx.load_from_string(redundant_net())
    first = next(one for one in model.graph.initializer if one.name == "stem.weight")
    first.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(first)[:, :1], "stem.weight"))
    model.graph.input[0].type.tensor_type.shape.dim[3].dim_value = 1
    for mean in (one for one in model.graph.initializer if one.name in ("mean", "inverse_std")):
        mean.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(mean)[:, :1], mean.name))
    before, after = (
        constants(one)
        for one in (model.SerializeToString(), load_pass(name).run(model.SerializeToString(), NONE, parameters))
    )
    assert not np.array_equal(after.get("stem.weight", 0), before["stem.weight"])
    np.testing.assert_array_equal(after["deep.weight"], before["deep.weight"])
