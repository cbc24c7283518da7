"""Reading and writing a bundle's files so that nothing outside it is ever touched.

A bundle is flat: regular files in one folder. A symlink, a folder, a pipe or
a device in it is refused, and files are opened so that a symlink put there
between the look and the open is refused too.
"""

import hashlib
import os
import stat
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

from model_zoo.errors import BundleError
from model_zoo.manifest import FilePart

MAX_LABEL_CHARACTERS = 200
MAX_LABELS = 100_000

_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
_BIDIRECTIONAL = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def open_regular(path: Path) -> int:
    """A read-only file descriptor of a regular file that is not a symlink.

    Raises:
        BundleError: missing, unreadable, a symlink, or not a regular file.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | _NO_FOLLOW)
    except OSError as error:
        reason = "is a symlink" if path.is_symlink() else (error.strerror or "can't be opened").lower()
        raise BundleError(f"{path}: {reason}") from error
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise BundleError(f"{path}: not a regular file")


def read_limited(path: Path, limit: int) -> bytes:
    """The whole of a regular file.

    Raises:
        BundleError: as ``open_regular``, or more than ``limit`` bytes.
    """
    with os.fdopen(open_regular(path), "rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise BundleError(f"{path}: more than {limit} bytes")
    return data


def read_listed(folder: Path, file: FilePart) -> bytes:
    """The bytes of a listed file; they are the ones whose hash was checked.

    Raises:
        BundleError: the file is not what the manifest lists.
    """
    data = read_limited(folder / file.path, file.bytes)
    _compare(folder, file, len(data), hashlib.sha256(data).hexdigest())
    return data


def verify_listed(folder: Path, file: FilePart) -> None:
    """Check size and sha256 of a listed file, without holding it in memory.

    Raises:
        BundleError: the file is not what the manifest lists.
    """
    with os.fdopen(open_regular(folder / file.path), "rb") as opened:
        size = os.fstat(opened.fileno()).st_size
        digest = hashlib.file_digest(opened, "sha256").hexdigest() if size == file.bytes else ""
    _compare(folder, file, size, digest)


def _compare(folder: Path, file: FilePart, size: int, digest: str) -> None:
    if size != file.bytes:
        raise BundleError(f"{folder / file.path}: {size} bytes, the manifest lists {file.bytes}: altered or cut short")
    if digest != file.sha256:
        raise BundleError(f"{folder / file.path}: its sha256 is not the manifest's: altered or damaged")


def verify_listing(folder: Path, files: Sequence[FilePart]) -> None:
    """The folder holds ``manifest.json`` and exactly the listed files, each a regular file of its listed size.

    Raises:
        BundleError: a file missing, unlisted, not regular, or of another size.
    """
    listed = {file.path: file for file in files}
    try:
        with os.scandir(folder) as scan:
            found = {entry.name: entry.stat(follow_symlinks=False) for entry in scan}
    except OSError as error:
        raise BundleError(f"{folder}: {(error.strerror or 'can not be listed').lower()}") from error
    for name, status in found.items():
        if not stat.S_ISREG(status.st_mode):
            raise BundleError(f"{folder / name}: not a regular file (symlinks and folders are refused)")
        if name != "manifest.json" and name not in listed:
            raise BundleError(f"{folder / name}: not listed in manifest.json")
    for name, file in listed.items():
        if name not in found:
            raise BundleError(f"{folder / name}: listed in manifest.json, but missing")
        if found[name].st_size != file.bytes:
            raise BundleError(f"{folder / name}: {found[name].st_size} bytes, the manifest lists {file.bytes}")


def describe(name: str, data: bytes) -> FilePart:
    """The manifest's entry for a file of these bytes."""
    return FilePart(path=name, sha256=hashlib.sha256(data).hexdigest(), bytes=len(data))


def write_synced(path: Path, data: bytes) -> None:
    """Write a file and wait until the disk has it."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Wait until the disk has the folder's entries."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def parse_labels(data: bytes) -> tuple[str, ...]:
    """Class names from ``labels.txt``: UTF-8, one a line.

    Raises:
        BundleError: not UTF-8, too many, or a name that is empty, too long or not printable.
    """
    try:
        lines = data.decode().removesuffix("\n").split("\n") if data else []
    except UnicodeDecodeError as error:
        raise BundleError("labels.txt is not UTF-8 text") from error
    check_labels(lines)
    return tuple(lines)


def check_labels(labels: Iterable[str]) -> None:
    """Refuse class names that can't be shown safely.

    Raises:
        BundleError: too many, or a name that is empty, too long or not printable.
    """
    for index, label in enumerate(labels):
        if index >= MAX_LABELS:
            raise BundleError(f"more than {MAX_LABELS} labels")
        if not label.strip() or len(label) > MAX_LABEL_CHARACTERS:
            raise BundleError(f"label {index} is empty or longer than {MAX_LABEL_CHARACTERS} characters")
        if any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") or c in _BIDIRECTIONAL for c in label):
            raise BundleError(f"label {index} holds a control character")
