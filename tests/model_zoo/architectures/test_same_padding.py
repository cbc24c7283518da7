"""TensorFlow's SAME padding against its published rule, and against torch's own where they agree."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from model_zoo.architectures.channels import round_channels
from model_zoo.architectures.same_padding import SameConv2d, same_padding


@pytest.mark.parametrize(
    ("side", "kernel", "stride", "expected"),
    [(224, 3, 2, (0, 1)), (56, 5, 2, (1, 2)), (15, 5, 2, (2, 2)), (65, 3, 2, (1, 1)), (112, 3, 1, (1, 1))],
)
def test_known_paddings(side: int, kernel: int, stride: int, expected: tuple[int, int]) -> None:
    assert same_padding(side, kernel, stride) == expected


@given(st.integers(1, 400), st.sampled_from([1, 3, 5, 7]), st.integers(1, 3))
def test_output_is_the_side_over_the_stride_rounded_up(side: int, kernel: int, stride: int) -> None:
    before, after = same_padding(side, kernel, stride)
    assert 0 <= after - before <= 1
    assert (side + before + after - kernel) // stride + 1 == -(-side // stride)


@pytest.mark.parametrize(("height", "width"), [(8, 8), (9, 8), (7, 12), (9, 11)])
@pytest.mark.parametrize("kernel", [3, 5])
def test_convolution_equals_an_explicit_pad(height: int, width: int, kernel: int) -> None:
    torch.manual_seed(0)
    conv = SameConv2d(4, 4, kernel, 2, groups=4, bias=False).double()
    x = torch.randn(2, 4, height, width, dtype=torch.float64)
    (top, bottom), (left, right) = same_padding(height, kernel, 2), same_padding(width, kernel, 2)
    padded = nn.functional.pad(x, (left, right, top, bottom))
    expected = nn.functional.conv2d(padded, conv.weight, stride=2, groups=4)
    torch.testing.assert_close(conv(x), expected)


@given(st.floats(1, 4000, allow_nan=False))
def test_rounded_channels_are_eights_and_not_much_fewer(channels: float) -> None:
    rounded = round_channels(channels)
    assert rounded % 8 == 0
    assert 0.9 * channels <= rounded <= channels + 8
