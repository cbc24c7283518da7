"""Small data sets in memory, and a model of our own for them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model_zoo.spec import InputSpec, Resize
from optimize.data.dataset import Dataset, Pixels, Task
from optimize.errors import DataError

SPEC = InputSpec(16, 16, 3, "rgb", Resize("stretch", 16), "none", (0.0,) * 3, (255.0,) * 3)


@dataclass
class Pictures:
    """A source; ``broken`` ones can't be decoded."""

    pixels: list[Pixels]
    broken: frozenset[int] = frozenset()

    def __len__(self) -> int:
        return len(self.pixels)

    def read(self, index: int) -> Pixels:
        if index in self.broken:
            raise DataError(f"{self.identifier(index)} is broken")
        return self.pixels[index]

    def identifier(self, index: int) -> str:
        return f"shades/{index}.png"

    def digest(self, index: int) -> bytes:
        return self.pixels[index].tobytes()


def shades(n: int = 24, *, broken: frozenset[int] = frozenset(), wrong: tuple[int, ...] = ()) -> Dataset:
    """Dark and bright pictures by turns, labelled so but for ``wrong``."""
    pixels = [np.full((20, 30, 3), 40 + place if place % 2 == 0 else 240 - place, np.uint8) for place in range(n)]
    labels = np.arange(n) % 2
    labels[list(wrong)] ^= 1
    return Dataset(
        "shades", Pictures(pixels, broken), np.arange(n), labels[:, None], (Task("class", ("dark", "bright")),)
    )


class Brightness:
    """Bright above one half; its map is the picture's left half."""

    name, runs_on, size_bytes, spec = "brightness", "NumPy", 8, SPEC
    labels: tuple[str, ...] = ("dark", "bright")

    def logits(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        bright = pictures.mean(axis=(1, 2, 3)) / 255
        rows: NDArray[np.float32] = np.stack([1 - bright, bright], axis=1).astype(np.float32)
        return 8 * rows

    def maps(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32] | None:
        return np.tile(np.array([[1.0, 0.0]], np.float32), (len(pictures), 2, 1))

    def close(self) -> None:
        """Nothing to give back."""
