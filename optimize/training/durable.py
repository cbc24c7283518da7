"""Files that are whole or not there: written beside their place, synced, renamed."""

import contextlib
import errno
import os
from pathlib import Path

from optimize.errors import RunError

_FULL = {errno.ENOSPC: "the disk is full", errno.EDQUOT: "the quota is used up", errno.EROFS: "the disk is read-only"}


def write_whole(path: Path, data: bytes) -> None:
    """Replace ``path`` by ``data``; whoever reads it sees all of the old or all of the new.

    Raises:
        RunError: the disk refused; the message says whether what was there before is still there.
    """
    temporary = path.with_name(f".{path.name}.writing")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            _write_synced(temporary, data)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise RunError(f"{path} can't be written: {reason(error)}; what was there before is still there") from error
    try:
        _sync_folder(path.parent)
    except OSError as error:
        raise RunError(
            f"{path} is written, and the disk does not say that its folder will still name it after a power cut: "
            f"{reason(error)}"
        ) from error


def reason(error: OSError) -> str:
    """What a disk's refusal means."""
    return _FULL.get(error.errno or 0) or error.strerror or str(error)


def _write_synced(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    with contextlib.suppress(PermissionError):  # some file systems let nobody open a folder
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
