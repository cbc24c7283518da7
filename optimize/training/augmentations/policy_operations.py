"""The operations that TrivialAugment and RandAugment choose from, and how one of them is done to each picture.

Where the operations move pixels or change colours, all of a batch are done
together, each picture with its own matrix; the few that do neither are done to the
pictures that drew them. They follow Pillow's of the same names, which the papers
used; what comes into view from beyond the edge is black.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from optimize.training.augmentations import colour, tone
from optimize.training.augmentations.geometry import Frame, linear_maps, window_maps
from optimize.training.augmentations.resampling import resample

Maps = Callable[[Tensor, Frame], Tensor]
Mixing = Callable[[Tensor], tuple[Tensor, Tensor]]
Toning = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation; exactly one of ``maps``, ``mixing`` and ``toning`` is there, or none for the identity.

    Attributes:
        weakest: its amount at strength 0.
        strongest: its amount at strength 1, between which the amount is linear.
        signed: the amount is turned negative for half the pictures.
        maps: (n,) amounts and the pictures' size → maps, as in ``resampling``.
        mixing: (n,) amounts → matrices, as in ``colour``.
        toning: pictures and (n,) amounts on their device → pictures.
    """

    weakest: float = 0.0
    strongest: float = 0.0
    signed: bool = False
    maps: Maps | None = None
    mixing: Mixing | None = None
    toning: Toning | None = None

    def amounts(self, strength: Tensor, positive: Tensor) -> Tensor:
        """(n,) strengths 0 to 1 and (n,) bool → (n,) amounts."""
        amount = self.weakest + (self.strongest - self.weakest) * strength
        return torch.where(positive, amount, -amount) if self.signed else amount


def shear_x(amount: Tensor, frame: Frame) -> Tensor:
    one = torch.ones_like(amount)
    return linear_maps(frame, one, amount, one * 0, one)


def shear_y(amount: Tensor, frame: Frame) -> Tensor:
    one = torch.ones_like(amount)
    return linear_maps(frame, one, one * 0, amount, one)


def translate_x(amount: Tensor, frame: Frame) -> Tensor:
    """By a share of the width, to whole px."""
    whole = torch.ones_like(amount)
    left = (amount * frame.width).round()
    return window_maps(frame, left, whole * 0, whole * frame.width, whole * frame.height)


def translate_y(amount: Tensor, frame: Frame) -> Tensor:
    """By a share of the height, to whole px."""
    whole = torch.ones_like(amount)
    top = (amount * frame.height).round()
    return window_maps(frame, whole * 0, top, whole * frame.width, whole * frame.height)


def rotate(amount: Tensor, frame: Frame) -> Tensor:
    """By degrees, counter-clockwise."""
    angle = torch.deg2rad(amount)
    return linear_maps(frame, angle.cos(), -angle.sin(), angle.sin(), angle.cos())


def operations(geometric: dict[str, float], enhance: float, bits: int, solarize: float) -> tuple[Operation, ...]:
    """The fourteen, as strong as a policy has them.

    Args:
        geometric: strongest ``shear``, ``translate`` (share of the side) and ``rotate`` (degrees).
        enhance: farthest that brightness, colour, contrast and sharpness go from 1, either way.
        bits: fewest that posterize leaves.
        solarize: lowest threshold.
    """
    return (
        Operation(),
        *(Operation(0, geometric["shear"], True, maps=maps) for maps in (shear_x, shear_y)),
        *(Operation(0, geometric["translate"], True, maps=maps) for maps in (translate_x, translate_y)),
        Operation(0, geometric["rotate"], True, maps=rotate),
        Operation(0, enhance, True, mixing=lambda amount: colour.brightness(1 + amount)),
        Operation(0, enhance, True, mixing=lambda amount: colour.saturation(1 + amount)),
        Operation(0, enhance, True, mixing=lambda amount: colour.contrast(1 + amount)),
        Operation(0, enhance, True, toning=lambda pictures, amount: tone.sharpness(pictures, 1 + amount)),
        Operation(8, bits, toning=tone.posterize),
        Operation(1, solarize, toning=tone.solarize),
        Operation(toning=lambda pictures, _: tone.autocontrast(pictures)),
        Operation(toning=lambda pictures, _: tone.equalize(pictures)),
    )


def apply_chosen(
    pictures: Tensor, table: tuple[Operation, ...], chosen: Tensor, strength: Tensor, positive: Tensor
) -> Tensor:
    """Do to each picture the one operation that it drew.

    Args:
        pictures: float (N, C, H, W) in 0 to 1; left as it is.
        chosen: (N,) int64 on the CPU, numbers in ``table``.
        strength: (N,) float64 from 0 to 1.
        positive: (N,) bool, for signed operations.
    """
    drawn = [
        _Drawn(operation, rows, operation.amounts(strength[rows], positive[rows]))
        for operation, rows in ((table[number], (chosen == number).nonzero().flatten()) for number in range(len(table)))
        if len(rows)
    ]
    pictures = _moved(pictures, drawn)
    _recolour(pictures, drawn)
    for operation, rows, amounts in drawn:
        if operation.toning is not None:
            places = rows.to(pictures.device, non_blocking=True)
            toned = operation.toning(pictures[places], amounts.float().to(pictures.device, non_blocking=True))
            pictures.index_copy_(0, places, toned)
    return pictures


class _Drawn(NamedTuple):
    """The pictures that drew an operation, and how strong it is in each."""

    operation: Operation
    rows: Tensor
    amounts: Tensor


def _moved(pictures: Tensor, drawn: list[_Drawn]) -> Tensor:
    """A copy, in which the pictures that drew a geometric operation are moved."""
    frame = Frame(*pictures.shape[2:])
    rows = [one.rows for one in drawn if one.operation.maps]
    if not rows:
        return pictures.clone()
    maps = torch.cat([one.operation.maps(one.amounts, frame) for one in drawn if one.operation.maps])
    places = torch.cat(rows).to(pictures.device, non_blocking=True)
    moved = resample(pictures[places], maps, frame.height, frame.width, "black")
    return pictures.index_copy(0, places, moved)


def _recolour(pictures: Tensor, drawn: list[_Drawn]) -> None:
    """Change, in place, the pictures that drew a change of colour."""
    mixings = [one.operation.mixing(one.amounts) for one in drawn if one.operation.mixing]
    if not mixings:
        return
    keep, spread = (torch.cat(part) for part in zip(*mixings, strict=True))
    places = torch.cat([one.rows for one in drawn if one.operation.mixing]).to(pictures.device, non_blocking=True)
    pictures.index_copy_(0, places, colour.apply_mixing(pictures[places], keep, spread))
