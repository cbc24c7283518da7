"""A first convolution that takes over a normalisation: exact, borders included."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from onnx import helper, load_from_string, numpy_helper
from torch.nn import functional as F

from optimize.errors import PassError
from optimize.judging.arithmetic import open_model
from optimize.judging.fused import fused_share
from optimize.passes import load_pass
from optimize.passes.float_graph import FloatGraph, read_float_graph
from tests.optimize.passes.redundant_net import redundant_net
from tests.optimize.small_nets import make_model, pictures

NONE = pictures(1)[:0]
IMAGENET = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))


def _net(mean: tuple[float, ...], std: tuple[float, ...], pads: list[int], *, biased: bool = True) -> bytes:
    """A convolution whose every place is in the logits, (N, 4 · places)."""
    draw = np.random.default_rng(0)
    side = (16 + pads[0] + pads[2] - 3) // 2 + 1
    constants: dict[str, NDArray[np.generic]] = {
        "mean": np.array(mean, np.float32).reshape(1, -1, 1, 1),
        "inverse_std": (1 / np.array(std)).astype(np.float32).reshape(1, -1, 1, 1),
        "stem.weight": draw.standard_normal((4, 3, 3, 3)).astype(np.float32),
        "stem.bias": draw.standard_normal(4).astype(np.float32),
        "head.weight": np.eye(4 * side * side, dtype=np.float32),
        "head.bias": np.zeros(4 * side * side, np.float32),
    }
    inputs = ["x", "stem.weight", "stem.bias"][: 3 if biased else 2]
    nodes = [
        helper.make_node("Conv", inputs, ["stem"], "stem", pads=pads, strides=[2, 2], kernel_shape=[3, 3]),
        helper.make_node("Flatten", ["stem"], ["flat"], "flatten", axis=1),
    ]
    return make_model(nodes, constants, "flat")


def _folded(graph: FloatGraph, images: NDArray[np.uint8], pads: list[int]) -> torch.Tensor:
    """The first convolution in float64, on the pixels' codes."""
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).double()
    if graph.input.inside is not None:
        pixels = torch.cat([pixels, torch.full_like(pixels[:, :1], graph.input.inside)], 1)
    names = graph.steps[0].inputs
    weight = torch.from_numpy(graph.constants[names[1]].astype(np.float64))
    bias = torch.from_numpy(graph.constants[names[2]].astype(np.float64)) if len(names) > 2 else None
    values = F.pad((pixels - graph.input.zero) * graph.input.scale, (pads[1], pads[3], pads[0], pads[2]))
    return F.conv2d(values, weight, bias, stride=2)


@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("pads", [[1, 1, 1, 1], [0, 0, 1, 1], [0, 0, 0, 0]])
@pytest.mark.parametrize(
    ("mean", "std"),
    [
        IMAGENET,
        ((127.5,) * 3, (127.5,) * 3),
        ((0.0,) * 3, (60.0, 50.0, 70.0)),
        ((250.0, 255.0, 240.5), (3.0, 200.0, 60.0)),
        ((-4.0, 10.0, 300.0), (60.0, 50.0, 70.0)),
    ],
)
def test_it_gives_what_the_normalised_one_gave(
    mean: tuple[float, ...], std: tuple[float, ...], pads: list[int], biased: bool
) -> None:
    """Against torch in float64 on normalised values, zeros around them."""
    model, images = _net(mean, std, pads, biased=biased), pictures(3)
    graph = read_float_graph(model)
    exact = [np.float32(one).astype(np.float64) for one in (mean, 1 / np.array(std))]
    values = (torch.from_numpy(images).double() - torch.from_numpy(exact[0])) * torch.from_numpy(exact[1])
    padded = F.pad(values.permute(0, 3, 1, 2), (pads[1], pads[3], pads[0], pads[2]))
    plain = read_float_graph(_net((127.0,) * 3, (128.0,) * 3, pads)).constants
    weight, bias = (torch.from_numpy(plain[f"stem.{one}"].astype(np.float64)) for one in ("weight", "bias"))
    expected = F.conv2d(padded, weight, bias if biased else None, stride=2)
    torch.testing.assert_close(_folded(graph, images, pads), expected, rtol=1e-6, atol=1e-5)


def test_only_padding_needs_a_channel_and_its_weights_are_no_larger_than_the_others() -> None:
    padded, bare = (read_float_graph(_net(*IMAGENET, pads)) for pads in ([1, 1, 1, 1], [0, 0, 0, 0]))
    assert bare.input.inside is None
    assert padded.input.inside is not None
    weights = padded.constants[padded.steps[0].inputs[1]]
    assert weights.shape == (4, 4, 3, 3)
    assert (np.abs(weights[:, 3]) <= np.abs(weights[:, :3]).max((1, 2, 3))[:, None, None]).all()
    stds = read_float_graph(_net((116.0,) * 3, IMAGENET[1], [1, 1, 1, 1]))
    assert stds.input.inside is None


@pytest.mark.parametrize("pads", [[1, 1, 1, 1], [0, 0, 0, 0]])
def test_in_8_bits_borders_err_no_more_than_the_middle(pads: list[int]) -> None:
    model = _net(*IMAGENET, pads)
    smaller = load_pass("quantize_int8").run(model, pictures(24), {"range_method": "min_max"})
    assert fused_share(smaller).share == 1
    unseen = pictures(48, seed=1)
    expected, got = (open_model(one, "reference")(unseen) for one in (model, smaller))
    side = int((expected.shape[1] // 4) ** 0.5)
    error = ((got - expected) ** 2).reshape(-1, 4, side, side).mean((0, 1)) ** 0.5 / expected.std()
    border = np.concatenate([error[0], error[-1], error[1:-1, 0], error[1:-1, -1]])
    assert np.median(error[1:-1, 1:-1]) < 0.015
    assert np.median(border) < 1.2 * np.median(error[1:-1, 1:-1])


def test_the_pixels_mirror_image_shares_the_first_weights() -> None:
    model = load_from_string(_net(*IMAGENET, [1, 1, 1, 1]))
    stem = next(node for node in model.graph.node if node.name == "stem")
    place = list(model.graph.node).index(stem)
    again = helper.make_node("Conv", ["mirrored", *stem.input[1:]], ["again"], "again")
    again.attribute.extend(stem.attribute)
    constants = {"s": [-1], "e": [-(2**63)], "a": [3]}
    model.graph.initializer.extend(numpy_helper.from_array(np.array(one, np.int64), n) for n, one in constants.items())
    model.graph.node.insert(place, helper.make_node("Slice", ["x", "s", "e", "a", "s"], ["mirrored"], "mirror"))
    model.graph.node.insert(place + 2, again)
    model.graph.node.insert(place + 3, helper.make_node("Add", ["stem", "again"], ["sum"], "sum"))
    next(node for node in model.graph.node if node.name == "flatten").input[0] = "sum"
    data = model.SerializeToString()
    smaller = load_pass("quantize_int8").run(data, pictures(24), {"range_method": "min_max"})
    found = load_from_string(smaller).graph.initializer
    first, second = (numpy_helper.to_array(one) for one in found if one.name.endswith("weight/pixels/codes"))
    np.testing.assert_array_equal(first, second)
    expected, got = (open_model(one, "reference")(pictures(24, seed=1)) for one in (data, smaller))
    assert np.sqrt(((got - expected) ** 2).mean()) < 0.02 * expected.std()


@pytest.mark.parametrize("op", ["MaxPool", "Conv"])
def test_a_first_layer_that_can_not_take_over_is_refused(op: str) -> None:
    model = load_from_string(_net(*IMAGENET, [1, 1, 1, 1]))
    stem = next(node for node in model.graph.node if node.name == "stem")
    if op == "MaxPool":
        stem.op_type = "MaxPool"
        del stem.input[1:]
    else:
        stem.attribute.append(helper.make_attribute("group", 3))
    with pytest.raises(PassError, match="one std and one whole mean instead"):
        read_float_graph(model.SerializeToString())


def test_weights_that_are_stored_otherwise_are_refused_by_name() -> None:
    smaller = load_pass("cluster_weights").run(redundant_net(), NONE, {"entries": 16, "least_weights": 100})
    with pytest.raises(PassError, match="put it before cluster_weights and sparse_storage"):
        read_float_graph(smaller)


@pytest.mark.parametrize(("std", "says"), [(np.inf, "std"), (0.0, "std")])
def test_a_std_that_is_no_number_is_refused(std: float, says: str) -> None:
    with np.errstate(divide="ignore"), pytest.raises(PassError, match=says):
        read_float_graph(_net(IMAGENET[0], (std, 1.0, 1.0), [0, 0, 0, 0]))
