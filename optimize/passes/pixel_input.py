"""What stands between the pixels and the first layer, so that the pixels *are* the first layer's 8-bit input.

Layout, cast and normalisation become one scale and one zero point,
``value = (pixel - zero) * scale``, and cost nothing at run time. That holds as it is where
all channels share one std and one whole mean. Where they don't (ImageNet's means and stds), the first
convolution takes over the rest, exactly:

- A channel's own std goes into that channel's weights.
- A channel's own mean m shifts its values by ``(zero - m) / std`` everywhere *in the picture*.
  Outside of it, where the convolution pads, the normalised value is 0 and there is no shift. So the shift is no bias:
  it is one more input channel that is constant in the picture and that padding makes 0 outside, and its
  weights are what the shift makes of the others. One ``Pad`` along the channels adds it, in bytes.
  Without padding there is no outside, and the shift does go into the bias.

What it costs: a first convolution of four channels instead of three. What it does not do: a net whose
first layer is no convolution is refused.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
import onnx
from numpy.typing import NDArray

from optimize.errors import PassError
from optimize.passes.plain_form import attributes_of, layer_name

NORMALISING = frozenset({"Transpose", "Cast", "Sub", "Add", "Mul", "Div"})
_NHWC_TO_NCHW = [0, 3, 1, 2]

Constants = dict[str, NDArray[np.generic]]
Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class PixelInput:
    """``pixels`` (uint8 NHWC) becomes ``first`` (NCHW) by ``(pixel - zero) * scale``.

    ``inside`` is the code of a channel that is added behind the others and constant in the picture, if there is one.
    """

    pixels: str
    first: str
    scale: float
    zero: int
    inside: int | None = None


def read_pixel_input(
    nodes: list[onnx.NodeProto], constants: Constants, pixels: str
) -> tuple[PixelInput, list[onnx.NodeProto]]:
    """Follow the pixels to the first layer.

    Args:
        nodes: in order.
        constants: by name; gains the folded weights of the first layer where there are any.
        pixels: the graph's input.
    Returns:
        The input, and the nodes after it.
    Raises:
        PassError: a normalisation by what is not constant, or one that the first layer can't take over.
    """
    first, factor, offset, rest = _normalisation(nodes, constants, pixels)
    if not (np.isfinite(factor).all() and np.isfinite(offset).all() and factor.all()):
        raise PassError("the pixels are normalised by a std that is zero, infinite or no number; mend the model")
    means = -offset / factor
    whole = round(float(means[0]))
    if not np.ptp(factor) and np.abs(means - whole).max() <= 1e-5 and 0 <= whole <= 255 and factor[0] > 0:
        return PixelInput(pixels, first, float(factor[0]), whole), rest
    return _folded(PixelInput(pixels, first, 1.0, 0), np.broadcast_arrays(factor, means), rest, constants)


def _normalisation(
    nodes: list[onnx.NodeProto], constants: Constants, pixels: str
) -> tuple[str, Numbers, Numbers, list[onnx.NodeProto]]:
    """Follow the pixels to the first real operator: value = pixel * factor + offset."""
    name, factor, offset, turned = pixels, np.ones(1), np.zeros(1), False
    rest = list(nodes)
    while rest and rest[0].op_type in NORMALISING and name in rest[0].input:
        node = rest.pop(0)
        if node.op_type == "Transpose":
            turned = attributes_of(node).get("perm") == _NHWC_TO_NCHW
        elif node.op_type != "Cast":
            value = _constant(node, name, constants)
            factor, offset = _affine(node, value, factor, offset, name)
        name = str(node.output[0])
    if not turned and rest and rest[0].input and all(each in constants for each in rest[0].input):
        raise PassError(
            f"node '{layer_name(rest[0])}' ({rest[0].op_type}) computes a weight from what stores it otherwise; "
            "this pass takes weights as they are; put it before cluster_weights and sparse_storage"
        )
    if not turned:
        raise PassError("the pixels must be turned from NHWC to NCHW before the first layer")
    return name, factor, offset, rest


def _constant(node: onnx.NodeProto, name: str, constants: Constants) -> Numbers:
    other = next((one for one in node.input if one != name), "")
    if other not in constants:
        raise PassError(f"node '{layer_name(node)}' normalises by something that is not a constant")
    return constants[other].astype(np.float64).ravel()


def _affine(
    node: onnx.NodeProto, value: Numbers, factor: Numbers, offset: Numbers, name: str
) -> tuple[Numbers, Numbers]:
    if node.op_type in ("Sub", "Div") and node.input[0] != name:
        raise PassError(f"node '{layer_name(node)}' has the pixels as its second operand")
    if node.op_type == "Mul":
        return factor * value, offset * value
    if node.op_type == "Div":
        return factor / value, offset / value
    return factor, offset + (value if node.op_type == "Add" else -value)


def _folded(
    plain: PixelInput, normalisation: Sequence[Numbers], nodes: list[onnx.NodeProto], constants: Constants
) -> tuple[PixelInput, list[onnx.NodeProto]]:
    """The first convolutions take over what differs by channel."""
    factor, means = normalisation
    scale = float(np.float32(np.abs(factor).mean()))
    zero = int(np.clip(round(float(np.median(means))), 0, 255))
    takers = _first_convolutions(nodes, plain.first, constants)
    channels = max(constants[node.input[1]].shape[1] for node in takers.values())
    far = float(np.abs(zero - means).mean()) * channels
    padded = any(any(attributes_of(node).get("pads", [])) for node in takers.values())
    # So far from ``zero``, where 255 codes reach, that the added channel's weights are no larger than the others.
    step = min(max(1, ceil(far)), max(zero, 255 - zero))
    inside = (zero + step if zero + step <= 255 else zero - step) if padded and far > 0 else None
    done = [
        _taker(
            node,
            constants,
            factor / scale,
            (zero - means) * factor,
            None if inside is None else (inside - zero) * scale,
        )
        if index in takers
        else node
        for index, node in enumerate(nodes)
    ]
    return PixelInput(plain.pixels, plain.first, scale, zero, inside), done


def _first_convolutions(nodes: list[onnx.NodeProto], first: str, constants: Constants) -> dict[int, onnx.NodeProto]:
    """By place in ``nodes``: the convolutions that see the pixels, as they are or as a part or mirror image of them."""
    seen, found = {first}, {}
    for place, node in enumerate(nodes):
        if not seen.intersection(node.input):
            continue
        if node.op_type == "Slice" and _slices_places(node, constants):
            seen.add(node.output[0])
        elif node.op_type != "Conv" or attributes_of(node).get("group", 1) != 1 or node.input[1] not in constants:
            raise PassError(
                f"node '{layer_name(node)}' ({node.op_type}): the means and stds of the pixels differ by channel or "
                "are not whole, and only a convolution can take them over; normalise with one std and one whole mean "
                "instead"
            )
        else:
            found[place] = node
    return found


def _slices_places(node: onnx.NodeProto, constants: Constants) -> bool:
    """Whether all channels stay, in their order: factors and shifts are of channels."""
    axes = constants.get(node.input[3]) if len(node.input) > 3 else None
    return axes is not None and {int(axis) % 4 for axis in axes.tolist()} <= {2, 3}


def _taker(
    node: onnx.NodeProto, constants: Constants, factor: Numbers, shift: Numbers, inside: float | None
) -> onnx.NodeProto:
    """For a convolution of normalised values, one of the pixels' codes and of the added channel's ``inside``."""
    weights = constants[node.input[1]].astype(np.float64)
    shifted = np.einsum("ochw,c->ohw", weights, np.broadcast_to(shift, weights.shape[1:2]))
    taken = weights * factor.reshape(1, -1, 1, 1)
    names = [f"{node.input[1]}/pixels"]
    if inside is not None:
        taken = np.concatenate([taken, shifted[:, None] / inside], 1)
        names += node.input[2:]
    else:
        before = node.input[2] if len(node.input) > 2 else ""
        if before and before not in constants:
            raise PassError(f"node '{layer_name(node)}' ({node.op_type}): its bias is computed, not constant")
        bias = constants[before].astype(np.float64) if before else 0.0
        names.append(f"{names[0]}/{before or 'bias'}")
        constants[names[1]] = shifted.sum((1, 2)) + bias
    constants[names[0]] = taken
    made = onnx.NodeProto()
    made.CopyFrom(node)
    del made.input[1:]
    made.input.extend(names)
    return made
