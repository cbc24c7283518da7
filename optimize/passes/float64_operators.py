"""The operators that the INT8 pass computes itself, in float64 on the CPU.

Codes are whole numbers, and sums of their products stay far below 2⁵³: float64
holds them exactly, in whatever order a machine adds. That is what makes a
calibration give the same file everywhere; engines in float32 do not.

A convolution is taken as a sum over the taps of its kernel, each a shifted view
of the input. Adding an operator: a function and a line in ``OPERATORS``.
"""

import math
from collections.abc import Callable, Iterator
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional as F

from optimize.errors import PassError
from optimize.passes.moving_operators import Attributes, concat, flatten, numbers, reshape, sliced, transpose


def taps(x: Tensor, kernel: tuple[int, int], attributes: Attributes) -> Iterator[Tensor]:
    """What each place of the kernel sees, row by row.

    Args:
        x: (N, C, H, W); what lies outside is 0.
    Yields:
        (N, C, H', W') views, one per place of the kernel.
    Raises:
        PassError: a padding that only an engine works out.
    """
    if attributes.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID"):
        raise PassError("this pass takes paddings in numbers only, no auto_pad")
    top, left, bottom, right = numbers(attributes, "pads", [0, 0, 0, 0])
    down, across = numbers(attributes, "strides", [1, 1])
    dilation_y, dilation_x = numbers(attributes, "dilations", [1, 1])
    x = F.pad(x, (left, right, top, bottom))
    height = (x.shape[2] - dilation_y * (kernel[0] - 1) - 1) // down + 1
    width = (x.shape[3] - dilation_x * (kernel[1] - 1) - 1) // across + 1
    for row in range(kernel[0]):
        for column in range(kernel[1]):
            y, z = row * dilation_y, column * dilation_x
            yield x[:, :, y : y + down * (height - 1) + 1 : down, z : z + across * (width - 1) + 1 : across]


def conv(x: Tensor, weight: Tensor, attributes: Attributes) -> Tensor:
    """(N, C, H, W) by (O, C / groups, h, w) → (N, O, H', W'), without bias."""
    groups = int(cast("int", attributes.get("group", 1)))
    kernel = (weight.shape[2], weight.shape[3])
    flat = weight.flatten(2)
    total: Tensor | None = None
    for place, seen in enumerate(taps(x, kernel, attributes)):
        part = _tap(seen, flat[:, :, place], groups)
        total = part if total is None else total.add_(part)
    return cast("Tensor", total)


def _tap(seen: Tensor, weight: Tensor, groups: int) -> Tensor:
    if weight.shape[1] == 1 and weight.shape[0] == groups:
        return seen * weight.view(1, -1, 1, 1)
    if groups == 1:
        return torch.einsum("oc,nchw->nohw", weight, seen)
    parts = seen.reshape(len(seen), groups, -1, *seen.shape[2:])
    return torch.einsum("goc,ngchw->ngohw", weight.reshape(groups, -1, weight.shape[1]), parts).flatten(1, 2)


def gemm(x: Tensor, weight: Tensor, attributes: Attributes) -> Tensor:
    """(N, K) by (O, K) → (N, O), without bias.

    Raises:
        PassError: a Gemm that is not a plain layer.
    """
    require_plain_gemm(attributes)
    return x @ weight.T


def require_plain_gemm(attributes: Attributes) -> None:
    """See that a Gemm is ``x @ weight.T + bias``.

    Raises:
        PassError: it is not.
    """
    plain = attributes.get("transB", 0) == 1 and not attributes.get("transA", 0)
    if not plain or attributes.get("alpha", 1.0) != 1.0 or attributes.get("beta", 1.0) != 1.0:
        raise PassError("this pass takes a Gemm with transB = 1, transA = 0, alpha = beta = 1 only")


def _add(inputs: list[Tensor], _: Attributes) -> Tensor:
    return inputs[0] + inputs[1]


def _global_average_pool(inputs: list[Tensor], _: Attributes) -> Tensor:
    return inputs[0].mean((2, 3), keepdim=True)


def _max_pool(inputs: list[Tensor], attributes: Attributes) -> Tensor:
    kernel = numbers(attributes, "kernel_shape", [])
    if attributes.get("ceil_mode", 0):
        attributes = {**attributes, "pads": _up_to_the_last(inputs[0], kernel, attributes)}
    floor = inputs[0].amin()
    best: Tensor | None = None
    for seen in taps(inputs[0] - floor, (kernel[0], kernel[1]), attributes):
        best = seen if best is None else torch.maximum(best, seen)
    return cast("Tensor", best) + floor


def _up_to_the_last(x: Tensor, kernel: list[int], attributes: Attributes) -> list[int]:
    """Pads with which every window that starts in the picture is whole (``ceil_mode``)."""
    pads = numbers(attributes, "pads", [0, 0, 0, 0])
    strides, dilations = numbers(attributes, "strides", [1, 1]), numbers(attributes, "dilations", [1, 1])
    for side in (0, 1):
        size, reach = x.shape[2 + side] + pads[side], dilations[side] * (kernel[side] - 1) + 1
        last = min(math.ceil((size + pads[2 + side] - reach) / strides[side]), (size - 1) // strides[side])
        pads[2 + side] = last * strides[side] + reach - size
    return pads


def _average_pool(inputs: list[Tensor], attributes: Attributes) -> Tensor:
    kernel = numbers(attributes, "kernel_shape", [])
    if attributes.get("ceil_mode", 0):
        raise PassError("this pass takes an AveragePool with ceil_mode = 0 only")
    size = (kernel[0], kernel[1])
    total = _sum_of(taps(inputs[0], size, attributes))
    if attributes.get("count_include_pad", 0):
        return total / (kernel[0] * kernel[1])
    return total / _sum_of(taps(torch.ones_like(inputs[0][:1, :1]), size, attributes))


def _sum_of(parts: Iterator[Tensor]) -> Tensor:
    total = next(parts).clone()
    for part in parts:
        total += part
    return total


def _hard_sigmoid(inputs: list[Tensor], attributes: Attributes) -> Tensor:
    slope, middle = (float(cast("float", attributes.get(*one))) for one in (("alpha", 0.2), ("beta", 0.5)))
    return (inputs[0] * slope + middle).clamp(0, 1)


def _hard_swish(inputs: list[Tensor], _: Attributes) -> Tensor:
    return inputs[0] * (inputs[0] / 6 + 0.5).clamp(0, 1)


def _leaky_relu(inputs: list[Tensor], attributes: Attributes) -> Tensor:
    return F.leaky_relu(inputs[0], float(cast("float", attributes.get("alpha", 0.01))))


WEIGHTED: dict[str, Callable[[Tensor, Tensor, Attributes], Tensor]] = {"Conv": conv, "Gemm": gemm}

OPERATORS: dict[str, Callable[[list[Tensor], Attributes], Tensor]] = {
    "Add": _add,
    "AveragePool": _average_pool,
    "Clip": lambda inputs, _: inputs[0],  # the clamp is the step's own
    "Concat": concat,
    "Flatten": flatten,
    "GlobalAveragePool": _global_average_pool,
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _hard_swish,
    "LeakyRelu": _leaky_relu,
    "MaxPool": _max_pool,
    "Mul": lambda inputs, _: inputs[0] * inputs[1],
    "Relu": lambda inputs, _: inputs[0],
    "Reshape": reshape,
    "Sigmoid": lambda inputs, _: torch.sigmoid(inputs[0]),
    "Slice": sliced,
    "Transpose": transpose,
}

# These move or choose codes: what comes out has the scale and zero point of what went in.
SAME_CODES = frozenset({"Flatten", "MaxPool", "Reshape", "Slice", "Transpose"})
