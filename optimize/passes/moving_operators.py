"""Operators that move numbers and compute none: on codes they are what they are on values.

A calibration goes through the pictures a few at a time, so what mixes
those of one batch is refused.
"""

import math
from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor

from optimize.errors import PassError

Attributes = Mapping[str, object]


def numbers(attributes: Attributes, name: str, default: list[int]) -> list[int]:
    """An attribute that is a list."""
    return list(cast("list[int]", attributes.get(name, default)))


def concat(inputs: list[Tensor], attributes: Attributes) -> Tensor:
    """Side by side along an axis of one picture.

    Raises:
        PassError: what mixes pictures.
    """
    if attributes.get("axis") == 0:
        raise PassError("this pass takes a Concat of what belongs to one picture only, not of pictures (axis 0)")
    return torch.cat(inputs, int(cast("int", attributes["axis"])))


def flatten(inputs: list[Tensor], attributes: Attributes) -> Tensor:
    """(N, …) → (N, all the rest).

    Raises:
        PassError: what mixes pictures.
    """
    if attributes.get("axis", 1) != 1:
        raise PassError("this pass takes a Flatten with axis = 1 only")
    return inputs[0].flatten(1)


def reshape(inputs: list[Tensor], attributes: Attributes) -> Tensor:
    """To another shape with the same batch.

    Raises:
        PassError: what mixes pictures.
    """
    x, shape = inputs[0], numbers(attributes, "shape", [])
    each = [x.shape[place] if size == 0 else size for place, size in enumerate(shape)][1:]
    if shape[0] not in (-1, 0) or (-1 not in each and math.prod(each) != x[0].numel()):
        raise PassError("this pass takes a Reshape that leaves the batch as it is only (first size 0 or -1)")
    return x.reshape(len(x), *each)


def transpose(inputs: list[Tensor], attributes: Attributes) -> Tensor:
    """Axes in another order, the batch in front.

    Raises:
        PassError: what mixes pictures.
    """
    order = numbers(attributes, "perm", [])
    if not order or order[0] != 0:
        raise PassError("this pass takes a Transpose that leaves the batch in front only")
    return inputs[0].permute(order)


def sliced(inputs: list[Tensor], attributes: Attributes) -> Tensor:
    """A part of one picture's axes, backwards too: Python's slices are ONNX's.

    Raises:
        PassError: what mixes pictures.
    """
    x = inputs[0]
    starts, ends = numbers(attributes, "starts", []), numbers(attributes, "ends", [])
    axes = numbers(attributes, "axes", list(range(len(starts))))
    steps = numbers(attributes, "steps", [1] * len(starts))
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        if axis % x.ndim == 0:
            raise PassError("this pass takes a Slice of what belongs to one picture only, not of pictures (axis 0)")
        x = x.index_select(axis, torch.tensor(range(x.shape[axis])[start:end:step]))
    return x
