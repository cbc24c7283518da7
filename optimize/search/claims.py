"""Who works on which trial: a locked file for each, which the kernel frees when its process ends, however it ends."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


class Claims:
    """Locks below ``folder``."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._held: dict[int, IO[bytes]] = {}

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Only one process at a time is in here; waits for its turn."""
        with (self._folder / "all").open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def take(self, trial: int) -> bool:
        """Whether the trial is this process's now; False when another has it."""
        if trial in self._held:
            return False
        file = (self._folder / f"{trial:04}").open("ab")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return False
        self._held[trial] = file
        return True

    def leave(self, trial: int) -> None:
        """Let the trial go."""
        self._held.pop(trial).close()
