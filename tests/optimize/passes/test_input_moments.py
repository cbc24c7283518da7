"""Moments of what arrives, beside numpy's of every place."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import onnx
import pytest
import torch
from onnx import helper
from torch import Tensor
from torch.nn import functional as F

from optimize.passes.coded import Coded, Scale
from optimize.passes.float_graph import Step
from optimize.passes.input_moments import input_moments
from optimize.passes.plain_form import attributes_of
from optimize.passes.streamed import CHUNK, Codes

SCALE = Scale(0.25, 100)


def _step(node: onnx.NodeProto) -> Step:
    return Step(node, "y", ("x",), attributes=dict(attributes_of(node)))


@contextmanager
def _coded(*shape: int) -> Iterator[tuple[Coded, Tensor]]:
    """Codes, and what they stand for."""
    codes = torch.from_numpy(np.random.default_rng(0).integers(0, 256, shape, np.uint8))

    def parts() -> Iterator[Tensor]:
        for place in range(0, len(codes), CHUNK):
            yield codes[place : place + CHUNK]

    on_disk = Codes(parts())
    yield Coded(on_disk, SCALE), (codes.double() - SCALE.zero) * SCALE.size
    on_disk.close()


@pytest.mark.parametrize("pictures", [3 * CHUNK, 40])
def test_a_convolution_sees_its_kernel_at_every_place(pictures: int) -> None:
    node = helper.make_node("Conv", ["x", "w"], ["y"], kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    with _coded(pictures, 2, 6, 6) as (source, values):
        known, held = input_moments(_step(node), source, torch.zeros(4, 2, 3, 3))
    assert held is not None
    cut = next(place for place in range(0, pictures, CHUNK) if 3 * place >= 2 * pictures)
    for part, one in ((values[:cut], known), (values[cut:], held), (values, known + held)):
        seen = F.unfold(part, 3, padding=1).transpose(0, 1).flatten(1).numpy()
        assert one.count == seen.shape[1]
        np.testing.assert_allclose(one.mean[0].numpy(), seen.mean(1), atol=1e-9)
        np.testing.assert_allclose(one.covariance[0].numpy(), np.cov(seen, bias=True), atol=1e-9)


def test_each_channel_of_a_depthwise_convolution_sees_its_own() -> None:
    node = helper.make_node("Conv", ["x", "w"], ["y"], kernel_shape=[2, 2], group=3)
    with _coded(24, 3, 4, 4) as (source, values):
        known, held = input_moments(_step(node), source, torch.zeros(3, 1, 2, 2))
    assert held is not None
    whole = known + held
    for channel in range(3):
        seen = F.unfold(values[:, channel : channel + 1], 2).transpose(0, 1).flatten(1).numpy()
        np.testing.assert_allclose(whole.covariance[channel].numpy(), np.cov(seen, bias=True), atol=1e-9)


@pytest.mark.parametrize("pictures", [1, CHUNK, 2 * CHUNK + 3])
def test_a_linear_layer_sees_rows_and_few_pictures_are_not_parted(pictures: int) -> None:
    node = helper.make_node("Gemm", ["x", "w"], ["y"], transB=1)
    with _coded(pictures, 5) as (source, values):
        known, held = input_moments(_step(node), source, torch.zeros(4, 5))
    assert held is None
    np.testing.assert_allclose(known.covariance[0].numpy(), np.cov(values.numpy().T, bias=True), atol=1e-9)
