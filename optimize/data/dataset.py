"""A data set: pictures in a fixed order, with their labels; nothing is decoded until it is asked for."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Labels = NDArray[np.int64]

# The label of a picture that has none for a task.
UNLABELLED = -1


class PictureSource(Protocol):
    """Where pictures come from. Safe to read from several threads."""

    def __len__(self) -> int: ...

    def read(self, index: int) -> Pixels:
        """Decode one picture, upright: (H, W, 3) RGB or (H, W, 1) grey, of its own size.

        Raises:
            DataError: it can't be decoded; the message names it.
        """
        ...

    def identifier(self, index: int) -> str:
        """What a person finds the picture by: a path below the data folder, or ``file[number]``."""
        ...

    def digest(self, index: int) -> bytes:
        """sha256 of the picture's stored bytes."""
        ...


@dataclass(frozen=True, slots=True)
class Task:
    """One column of labels; ``labels[i] == k`` means ``classes[k]``."""

    name: str
    classes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Dataset:
    """Pictures ``positions[0], positions[1], …`` of a source.

    Attributes:
        positions: (N,) which pictures of ``source``, in this order.
        labels: (N, tasks); ``UNLABELLED`` where a picture has none.
        tasks: one for ordinary classification.
    """

    name: str
    source: PictureSource
    positions: NDArray[np.int64]
    labels: Labels
    tasks: tuple[Task, ...]

    def __len__(self) -> int:
        return len(self.positions)

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names of the first task."""
        return self.tasks[0].classes

    @property
    def first_labels(self) -> Labels:
        """(N,): labels of the first task."""
        first: Labels = self.labels[:, 0]
        return first

    def read(self, index: int) -> Pixels:
        """Decode picture ``index`` of this set; see ``PictureSource.read``."""
        return self.source.read(int(self.positions[index]))

    def identifier(self, index: int) -> str:
        """See ``PictureSource.identifier``."""
        return self.source.identifier(int(self.positions[index]))

    def subset(self, indices: Sequence[int] | NDArray[np.int64], name: str | None = None) -> "Dataset":
        """Some of the pictures, in the order of ``indices``."""
        chosen = np.asarray(indices, np.int64)
        return replace(self, name=name or self.name, positions=self.positions[chosen], labels=self.labels[chosen])
