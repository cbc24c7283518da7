"""Whole files, and what is said where a disk or a lock refuses."""

import errno
import fcntl
import os
from pathlib import Path

import pytest

from optimize.errors import RunError
from optimize.training.durable import write_whole
from optimize.training.run_folder import RunFolder
from optimize.training.run_state import alone


def test_a_refusal_before_the_file_is_in_place_leaves_the_old_one(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()

    with pytest.raises(RunError, match="what was there before is still there"):
        write_whole(tmp_path / "kept", b"new")

    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_a_folder_that_can_t_be_synced_is_said_as_what_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, sync = tmp_path / "file", os.fsync

    def refuse_folders(handle: int) -> None:
        if os.path.isdir(f"/proc/self/fd/{handle}"):  # noqa: PTH112
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        sync(handle)

    path.write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", refuse_folders)
    with pytest.raises(RunError, match="is written, and the disk does not say") as refused:
        write_whole(path, b"new")

    assert "what was there before" not in str(refused.value)
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize(
    ("number", "said"), [(errno.EWOULDBLOCK, "another process is training"), (errno.ENOLCK, "can't be locked")]
)
def test_only_a_lock_that_is_held_is_another_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, said: str
) -> None:
    def refuse(file: object, operation: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(RunError, match=said), alone(RunFolder(tmp_path / "run")):
        pass
