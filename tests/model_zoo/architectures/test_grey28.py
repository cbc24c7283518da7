"""Pooling by place, and answers to pictures and their mirror images."""

import numpy as np
import torch

from model_zoo.architectures import build, input_spec
from model_zoo.architectures.grey28 import PlacePooling
from model_zoo.export import INPUT_NAME, export_onnx, reference_logits
from model_zoo.onnx_run import open_graph


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


def test_a_mirrored_net_says_the_same_of_a_picture_and_its_mirror_image() -> None:
    torch.manual_seed(0)
    net = build("grey28_wide", 10, mirrored=True).eval()
    plain = build("grey28_wide", 10).eval()
    torch.nn.init.normal_(net.place_pooling.weight)  # type: ignore[union-attr,arg-type]
    plain.load_state_dict(net.state_dict())
    x = torch.randn(2, 1, 28, 28)
    torch.testing.assert_close(net(x), net(x.flip(3)))
    torch.testing.assert_close(net(x), (plain(x) + plain(x.flip(3))) / 2)
    assert (plain(x) - plain(x.flip(3))).abs().max() > 0.01


def test_training_sees_a_picture_once() -> None:
    net = build("grey28", 10, mirrored=True, dropout=0.0).train()
    plain = build("grey28", 10, dropout=0.0).train()
    plain.load_state_dict(net.state_dict())
    x = torch.randn(2, 1, 28, 28)
    torch.testing.assert_close(net(x), plain(x))


def test_a_mirrored_net_can_be_exported() -> None:
    torch.manual_seed(0)
    net, spec = build("grey28_small", 10, mirrored=True).eval(), input_spec("grey28_small")
    pictures = np.random.default_rng(0).integers(0, 256, (3, 28, 28, 1), np.uint8)
    logits = np.asarray(open_graph(export_onnx(net, spec), INPUT_NAME)(pictures)["logits"])
    expected = reference_logits(net, spec, pictures)
    np.testing.assert_allclose(logits, expected, atol=1e-5 * np.abs(expected).max())
