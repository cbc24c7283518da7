"""Which checkpoints a folder holds; free of torch."""

import re
from pathlib import Path

_NAME = re.compile(r"epoch-(\d{4,9})\.pt")


def checkpoint_path(folder: Path, epoch: int) -> Path:
    """Of the state after ``epoch`` epochs."""
    return folder / f"epoch-{epoch:04d}.pt"


def checkpoints(folder: Path) -> list[Path]:
    """Those in the folder, the oldest first."""
    if not folder.is_dir():
        return []
    found = [(int(match[1]), path) for path in folder.iterdir() if (match := _NAME.fullmatch(path.name))]
    return [path for _, path in sorted(found)]
