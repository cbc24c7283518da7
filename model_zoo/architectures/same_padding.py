"""TensorFlow's SAME padding: as much as makes the output ⌈side / stride⌉ long.

The total is split in two and the odd pixel goes to the far side, so a stride of
two pads an even side by (0, 1) under a 3×3 kernel and by (1, 2) under a 5×5. It
depends on the size of the input, which an exported graph fixes: there the padding
becomes the ``pads`` of the convolution, and costs nothing.
"""

import math

from torch import Tensor, nn
from torch.nn import functional as F


def same_padding(side: int, kernel: int, stride: int) -> tuple[int, int]:
    """Pixels before and after one side, for an undilated kernel."""
    total = max(0, (math.ceil(side / stride) - 1) * stride + kernel - side)
    return total // 2, total - total // 2


class SameConv2d(nn.Conv2d):
    """A convolution of a square kernel, padded like TensorFlow's ``SAME``."""

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) → (N, C', ⌈H / stride⌉, ⌈W / stride⌉)."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        top, bottom = same_padding(input.shape[-2], kernel, stride)
        left, right = same_padding(input.shape[-1], kernel, stride)
        if (top, left) == (bottom, right):
            return F.conv2d(input, self.weight, self.bias, self.stride, (top, left), self.dilation, self.groups)
        return super().forward(F.pad(input, (left, right, top, bottom)))
