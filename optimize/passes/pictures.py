"""The pictures that a pass is shown: an array, or what decodes some of them when it is asked."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from optimize.errors import PassError

_DIMENSIONS = 4


class Pictures(Protocol):
    """uint8 (N, height, width, channels)."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, height, width, channels)."""
        ...

    @property
    def dtype(self) -> np.dtype[np.uint8]:
        """uint8."""
        ...

    def __len__(self) -> int:
        """How many."""
        ...

    def __getitem__(self, part: slice, /) -> NDArray[np.uint8]:
        """Some of them, in order."""
        ...


def require_pictures(pictures: Pictures) -> None:
    """See that there are some.

    Raises:
        PassError: none, or none of this shape and type.
    """
    if len(pictures.shape) != _DIMENSIONS or not len(pictures) or pictures.dtype != np.uint8:
        raise PassError(f"calibration needs uint8 pictures (N, height, width, channels), not {pictures.shape}")
