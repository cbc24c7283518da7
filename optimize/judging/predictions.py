"""What a model says of a set of pictures, beside what is true; all judging starts from here."""

import io
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from optimize.errors import DataError
from optimize.training.durable import write_whole

# What NumPy, and zipfile below it, raise of a file that is cut, changed or something else.
_UNREADABLE = (OSError, ValueError, KeyError, TypeError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True, slots=True)
class Predictions:
    """N pictures.

    Attributes:
        logits: (N, classes).
        labels: (N,), places in ``classes``.
        identifiers: what each picture is found by.
    """

    logits: NDArray[np.float32]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    identifiers: tuple[str, ...]

    def __post_init__(self) -> None:
        n = len(self.labels)
        if self.logits.shape != (n, len(self.classes)) or len(self.identifiers) != n:
            raise DataError(
                f"{self.logits.shape} logits, {n} labels, {len(self.classes)} classes and "
                f"{len(self.identifiers)} identifiers do not go together"
            )

    def __len__(self) -> int:
        return len(self.labels)

    def chosen(self, indices: NDArray[np.int64]) -> "Predictions":
        """Some of the pictures, in the order of ``indices``."""
        identifiers = tuple(self.identifiers[index] for index in indices.tolist())
        return Predictions(self.logits[indices], self.labels[indices], self.classes, identifiers)

    def save(self, path: Path) -> None:
        """Write an ``.npz`` of plain arrays, whole or not at all.

        Raises:
            RunError: the disk refused.
        """
        file = io.BytesIO()
        np.savez_compressed(
            file,
            logits=self.logits,
            labels=self.labels,
            classes=np.array(self.classes),
            identifiers=np.array(self.identifiers),
        )
        write_whole(path, file.getvalue())

    @classmethod
    def load(cls, path: Path) -> "Predictions":
        """Read what ``save`` wrote.

        Raises:
            DataError: it is not there, or not such a file.
        """
        try:
            # From memory: NumPy leaves a file of its own open where it is broken.
            with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as arrays:
                return cls(
                    arrays["logits"].astype(np.float32),
                    arrays["labels"].astype(np.int64),
                    tuple(map(str, arrays["classes"])),
                    tuple(map(str, arrays["identifiers"])),
                )
        except _UNREADABLE as error:
            raise DataError(f"{path}: no predictions can be read from it: {error}") from error
