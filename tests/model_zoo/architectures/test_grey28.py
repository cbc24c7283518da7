"""Pooling by place."""

import torch

from model_zoo.architectures import build
from model_zoo.architectures.grey28 import PlacePooling


def test_places_count_alike_at_first() -> None:
    x = torch.randn(3, 5, 7, 7)
    torch.testing.assert_close(PlacePooling(5, 7, 7)(x), x.mean((2, 3)))


def test_each_channel_weighs_its_own_places() -> None:
    pooling = PlacePooling(5, 7, 4)
    torch.nn.init.normal_(pooling.weight)
    x = torch.randn(3, 5, 7, 4)
    torch.testing.assert_close(pooling(x), (x * pooling.weight[:, 0]).sum((2, 3)))


def test_training_begins_with_the_mean() -> None:
    assert (build("grey28_wide", 10).place_pooling.weight == 1 / 49).all()  # type: ignore[union-attr]


def test_a_map_of_another_size_is_weighted_by_the_same_places() -> None:
    pooling = PlacePooling(1, 2, 2)
    pooling.weight.data = torch.tensor([[[[1.0, 0.0], [0.0, 0.0]]]])
    left, right = torch.zeros(1, 1, 4, 6), torch.zeros(1, 1, 4, 6)
    left[..., :2, :3] = 1.0
    right[..., :2, 3:] = 1.0
    assert pooling(left) > 3 * pooling(right) > 0.0
    torch.testing.assert_close(PlacePooling(5, 7, 7)(torch.ones(1, 5, 9, 6)), torch.ones(1, 5))
    assert build("grey28_small", 3)(torch.randn(2, 1, 36, 52)).shape == (2, 3)
