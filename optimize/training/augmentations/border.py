"""What lies beyond a picture's edge, and how much of a pixel does."""

from typing import Literal

from torch import Tensor

Border = Literal["black", "grey", "edge", "reflect"]


def is_plain(border: Border) -> bool:
    """Of one level, where the others go on with the picture itself."""
    return border in ("black", "grey")


def level(border: Border) -> float:
    """Of a plain border, 0 to 1."""
    return 0.5 if border == "grey" else 0.0


def reflected(places: Tensor, size: int) -> Tensor:
    """Places beyond the picture, in px, mirrored at its edges, however far out."""
    return size - (places.remainder(2 * size) - size).abs()


def inside_share(places: Tensor, reach: Tensor, size: int) -> Tensor:
    """The share of a pixel, ``reach`` source pixels wide, that lies inside, 0 to 1."""
    return (0.5 + places / reach).clamp(0, 1) * (0.5 + (size - places) / reach).clamp(0, 1)


def framed(sampled: Tensor, inside: Tensor, border: Border) -> Tensor:
    """``sampled``, in place, with the border where ``inside`` is below 1."""
    beyond = level(border)
    return sampled.sub_(beyond).mul_(inside).add_(beyond) if beyond else sampled.mul_(inside)
