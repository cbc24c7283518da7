"""Pooling by place."""

import onnx
import torch
from torch.nn import functional

from model_zoo.architectures import build, input_spec
from model_zoo.architectures.grey28 import PlacePooling
from model_zoo.export import export_onnx
from model_zoo.graph_class_activation import add_class_activation


def test_places_count_alike_at_first() -> None:
    x = torch.randn(3, 5, 7, 7)
    torch.testing.assert_close(PlacePooling(5, 7, 7)(x), x.mean((2, 3)))


def test_it_is_a_depthwise_convolution_as_large_as_the_map() -> None:
    pooling = PlacePooling(5, 7, 4)
    torch.nn.init.normal_(pooling.weight)
    x = torch.randn(3, 5, 7, 4)
    expected = functional.conv2d(x, pooling.weight[:, None], groups=5)
    torch.testing.assert_close(pooling(x), expected.flatten(1))


def test_a_map_of_another_size_is_weighted_by_the_same_places() -> None:
    pooling = PlacePooling(1, 2, 2)
    pooling.weight.data = torch.tensor([[[1.0, 0.0], [0.0, 0.0]]])
    left, right = torch.zeros(1, 1, 4, 6), torch.zeros(1, 1, 4, 6)
    left[..., :2, :3] = 1.0
    right[..., :2, 3:] = 1.0
    assert pooling(left) > 3 * pooling(right) > 0.0
    assert build("grey28_small", 3)(torch.randn(2, 1, 36, 52)).shape == (2, 3)


def test_a_network_that_pools_by_place_has_class_activation_maps() -> None:
    model = onnx.load_from_string(export_onnx(build("grey28_small", 3).eval(), input_spec("grey28_small")))
    assert any(output.name == "class_activation" for output in model.graph.output) or add_class_activation(model)
