"""Pixels on their way: an array becomes NumPy's ``.npy``, which the server takes as it takes a JPEG.

NumPy is imported when there is an array, and who has one has it loaded.
"""

import io
from typing import Any, Protocol, TypeGuard


class Pixels(Protocol):
    """A NumPy array, or what can become one: uint8, RGB or grey, (H, W), (H, W, channels), or several of the latter."""

    @property
    def dtype(self) -> Any:  # noqa: ANN401 (a library's own)
        """uint8."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Height and width first."""

    def __array__(self) -> Any:  # noqa: ANN401
        """As NumPy's."""


Frame = bytes | bytearray | memoryview | Pixels


def is_pixels(picture: object) -> TypeGuard[Pixels]:
    """Whether it is an array. (A picture of Pillow has no ``dtype``: its numbers may be those of a palette.)"""
    return hasattr(picture, "__array__") and hasattr(picture, "dtype")


def encoded(picture: Frame) -> bytes:
    """What is sent.

    Raises:
        TypeError: it is neither bytes nor an array of uint8.
    """
    if isinstance(picture, bytes | bytearray | memoryview):
        return bytes(picture)
    if not is_pixels(picture):
        raise TypeError(f"a picture is encoded bytes, a path or an array, not {type(picture).__name__}")
    import numpy as np

    array = np.asarray(picture)
    if array.dtype != np.uint8:
        raise TypeError(f"pixels are uint8, from 0 to 255, not {array.dtype}")
    file = io.BytesIO()
    np.save(file, np.ascontiguousarray(array), allow_pickle=False)
    return file.getvalue()
