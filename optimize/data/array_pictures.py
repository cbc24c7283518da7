"""Pictures that already are pixels: IDX files, and whatever a program holds in an array."""

import hashlib
from dataclasses import dataclass, field

import numpy as np

from optimize.data.dataset import Pixels


@dataclass(frozen=True, slots=True)
class ArrayPictures:
    """A ``PictureSource`` over an array.

    Attributes:
        pixels: uint8 (N, H, W, 1 or 3).
        name: pictures are called ``name[number]``.
        shape: of one picture, hashed with its bytes so that pixels of another shape never are "the same".
    """

    pixels: Pixels
    name: str = "array"
    shape: bytes = field(init=False)

    def __post_init__(self) -> None:
        if self.pixels.ndim != 4 or self.pixels.shape[3] not in (1, 3) or self.pixels.dtype != np.uint8:
            raise ValueError(f"pictures are uint8 (N, H, W, 1 or 3), not {self.pixels.dtype} {self.pixels.shape}")
        object.__setattr__(self, "shape", repr(self.pixels.shape[1:]).encode())

    def __len__(self) -> int:
        return len(self.pixels)

    def read(self, index: int) -> Pixels:
        """(H, W, C), a view."""
        picture: Pixels = self.pixels[index]
        return picture

    def identifier(self, index: int) -> str:
        """``name[number]``."""
        return f"{self.name}[{index}]"

    def digest(self, index: int) -> bytes:
        """sha256 of shape and pixels."""
        return hashlib.sha256(self.shape + self.pixels[index].tobytes()).digest()
