"""Our operators against torch's own, in float64."""

import pytest
import torch
from torch.nn import functional as F

from optimize.errors import PassError
from optimize.passes.float64_operators import OPERATORS, conv, gemm


@pytest.mark.parametrize(
    ("groups", "kernel", "stride", "dilation"), [(1, 3, 2, 1), (8, 5, 1, 1), (2, 3, 1, 2), (1, 1, 1, 1)]
)
def test_conv_is_torchs(groups: int, kernel: int, stride: int, dilation: int) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(-128, 128, (2, 8, 13, 11), generator=generator).double()
    weight = torch.randint(
        -127, 128, (16 if groups != 8 else 8, 8 // groups, kernel, kernel), generator=generator
    ).double()
    attributes = {"pads": [0, 1, 2, 3], "strides": [stride, stride], "dilations": [dilation] * 2, "group": groups}
    expected = F.conv2d(F.pad(x, (1, 3, 0, 2)), weight, stride=stride, dilation=dilation, groups=groups)
    assert torch.equal(conv(x, weight, attributes), expected)  # whole numbers: exact in any order


def test_max_pool_is_torchs_with_negative_inputs() -> None:
    x = -torch.rand(2, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) - 1
    attributes = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}
    assert torch.allclose(OPERATORS["MaxPool"]([x], attributes), F.max_pool2d(x, 3, 2, 1), rtol=1e-14)


def test_gemm_that_is_no_plain_layer_is_refused() -> None:
    with pytest.raises(PassError, match="transB"):
        gemm(torch.ones(1, 2), torch.ones(3, 2), {"transB": 0})
