"""A folder whose sub-folders are the classes, or a plain folder of pictures without labels.

Names are sorted, hidden files and folders ignored, links followed (one that leads
back above itself is not entered). What a class folder holds at any depth belongs
to the class. Whether a file is a picture is told by its content, later.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from optimize.data.listing import Listing
from optimize.data.picture_files import FilePictures
from optimize.errors import DataError

UNLABELLED_TASK = "label"
_NOT_DATA = frozenset({"__MACOSX", "lost+found", "$RECYCLE.BIN", "System Volume Information"})


def list_classes(folder: Path) -> Listing:
    """Pictures of ``folder/CLASS/…``.

    Raises:
        DataError: no class folders, or a folder that can't be read.
    """
    classes = class_folders(folder)
    if not classes:
        loose = sum(1 for _ in files_below(folder))
        what = f"{loose} files and no folders" if loose else "nothing"
        raise DataError(
            f"{folder} holds {what}; put the pictures of each class into a sub-folder that bears the class's name"
        )
    files = [(one.name, file) for one in classes for file in files_below(one)]
    used = {name for name, _ in files}
    loose = sum(1 for entry in _entries(folder) if not entry.is_dir())
    return Listing(
        name=str(folder),
        source=_source(folder, [file for _, file in files]),
        task_names=(UNLABELLED_TASK,),
        columns=(tuple(name for name, _ in files),),
        empty_classes=tuple(one.name for one in classes if one.name not in used),
        aside=f"{folder}: {loose} files beside the class folders are not used" if loose else "",
    )


def list_unlabelled(folder: Path) -> Listing:
    """Every picture below ``folder``, without labels.

    Raises:
        DataError: there is none, or a folder that can't be read.
    """
    files = list(files_below(folder)) if folder.is_dir() else []
    if not files:
        raise DataError(f"{folder}: no pictures there")
    return Listing(str(folder), _source(folder, files), (UNLABELLED_TASK,), ((None,) * len(files),))


def class_folders(folder: Path) -> list[Path]:
    """Sub-folders, sorted by name."""
    return [entry for entry in _entries(folder) if entry.is_dir()]


def files_below(folder: Path, above: frozenset[tuple[int, int]] = frozenset()) -> Iterator[Path]:
    """Files at any depth, in sorted order; ``above`` are the folders being walked, to know a loop by."""
    state = folder.stat()
    here = (state.st_dev, state.st_ino)
    if here in above:
        return
    for entry in _entries(folder):
        if entry.is_dir():
            yield from files_below(entry, above | {here})
        elif entry.is_file() or entry.is_symlink():  # a broken link is listed, and reported as unreadable
            yield entry


def _entries(folder: Path) -> list[Path]:
    try:
        found = sorted(folder.iterdir(), key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(f"{folder}: it can't be read: {error.strerror}") from error
    return [entry for entry in found if not entry.name.startswith(".") and entry.name not in _NOT_DATA]


def _source(folder: Path, files: list[Path]) -> FilePictures:
    return FilePictures(tuple(files), tuple(_shown(file.relative_to(folder.parent)) for file in files))


def _shown(path: Path) -> str:
    """A path as text that can be written anywhere: bytes that are not UTF-8 become ``\\xff``."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
