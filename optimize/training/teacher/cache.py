"""A teacher's logits for every picture of a training set, on disk: asked once, read ever after.

For pictures that are not augmented: the same picture then always looks the same. The
file is filled before training starts, in the order of the set and in portions of one
size, so that a run that was killed and goes on reads the very numbers it had. It is
written beside its place and renamed, and one process fills it while others wait; it
is read as a memory map, so that several runs share its pages.

Its name is a hash of all that the logits depend on: teacher, classes and their order,
training set, view of it. Feature maps are too large to be kept: a recipe whose terms
have ``teacher_features`` asks the teacher every time.
"""

import fcntl
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from optimize.errors import RunError, TrainingError
from optimize.training.step import Seen
from optimize.training.teacher.teacher import Teacher

Read = Callable[[NDArray[np.int64]], Tensor]


class TeacherCache:
    """One teacher's logits for one view of one training set."""

    def __init__(self, folder: Path, teacher: Teacher, *, data: str, view: str, pictures: int) -> None:
        """
        Args:
            folder: where such files lie; several runs may share it.
            data: fingerprint of the training set, in its order.
            view: how pictures are shown to the student, such as "crop 96x96".
            pictures: in the training set.
        """
        said = "\x1f".join([teacher.fingerprint, *teacher.classes, data, view, str(pictures)])
        self.path = folder / f"{hashlib.sha256(said.encode()).hexdigest()[:32]}.npy"
        self._teacher = teacher
        self._shape = (pictures, len(teacher.classes))
        self._rows: NDArray[np.float32] | None = self._open()

    @property
    def is_filled(self) -> bool:
        """Whether ``seen`` can be asked."""
        return self._rows is not None

    def seen(self, places: Tensor, device: torch.device) -> Seen:
        """What the teacher made of these pictures.

        Args:
            places: (N,) int64 on the CPU, in the training set.
        Returns:
            float32 logits (N, classes) on the device, which is not waited for.
        Raises:
            TrainingError: the cache is not filled.
        """
        if self._rows is None:
            raise TrainingError("the teacher's logits are not there yet: fill the cache first")
        return Seen(torch.from_numpy(self._rows[places.numpy()]).to(device, non_blocking=True))

    def fill(self, read: Read, *, batch_size: int = 64) -> None:
        """Ask the teacher about every picture, unless that was done before.

        Args:
            read: (n,) places in the training set → float pictures (n, C, H, W) in 0 to 1, on the teacher's device.
        Raises:
            RunError: the disk is full, or the folder can't be written.
            TrainingError: the teacher says something that is no number.
        """
        if self.is_filled:
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.with_suffix(".partial").open("ab") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                if self._open() is None:  # else another process has filled it, while this one waited
                    file.truncate(0)
                    self._write(file, read, batch_size)
                    Path(file.name).replace(self.path)
        except OSError as error:
            raise RunError(f"{self.path.parent}: the teacher's logits can't be kept: {error}") from error
        self._rows = self._open()

    def _write(self, file: BinaryIO, read: Read, batch_size: int) -> None:
        layout = {"descr": "<f4", "fortran_order": False, "shape": self._shape}
        np.lib.format.write_array_header_1_0(file, layout)
        for start in range(0, self._shape[0], batch_size):
            stop = min(start + batch_size, self._shape[0])
            logits = self._teacher(read(np.arange(start, stop))).logits.cpu()
            if not logits.isfinite().all():
                raise TrainingError(f"the teacher {self._teacher.said} gives no numbers for pictures {start} to {stop}")
            file.write(logits.numpy().astype("<f4").tobytes())
        file.flush()

    def _open(self) -> NDArray[np.float32] | None:
        """The rows; None where there is no file, or one that is not whole."""
        try:
            rows: NDArray[np.float32] = np.load(self.path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None
        return rows if rows.shape == self._shape and rows.dtype == np.float32 else None
