"""A store: a folder of bundles, ``<root>/<name>/<version>``.

Only folders whose names are model names and positive integers count; hidden
ones (a writer's, a remover's) and everything else are passed over. Nothing is
cached: each call looks at the disk, so that several programs may share it.
"""

import contextlib
import difflib
import os
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from model_zoo.bundle import Bundle, BundleDraft, read_bundle, write_bundle
from model_zoo.errors import BundleError, UnknownModelError
from model_zoo.manifest import NAME_PATTERN

_NAME = re.compile(NAME_PATTERN)
_VERSION = re.compile(r"[1-9][0-9]{0,8}")
REMOVED_PREFIX = ".removed-"


@dataclass(frozen=True, slots=True)
class Store:
    """The bundles below ``root``; a root that does not exist is an empty store."""

    root: Path

    @property
    def read_only(self) -> bool:
        """True for the bundles that come with the package."""
        return self.root.resolve() == shipped_store().root.resolve()

    def names(self) -> list[str]:
        """The models that have at least one version, sorted."""
        return [name for name in _folders(self.root, _NAME) if _folders(self.root / name, _VERSION)]

    def versions(self, name: str) -> list[int]:
        """The versions of a model, ascending; empty when there is no such model."""
        if not _NAME.fullmatch(name):
            return []
        return sorted(int(version) for version in _folders(self.root / name, _VERSION))

    def open(self, name: str, version: int | None = None, *, verify: bool = True) -> Bundle:
        """Read a bundle, the newest version by default.

        Raises:
            UnknownModelError: no such name or version; the message says which there are.
            BundleError: it is there, and refused.
        """
        return read_bundle(self.folder(name, version), verify=verify)

    def folder(self, name: str, version: int | None = None) -> Path:
        """Where a version lies, the newest by default, without reading it.

        Raises:
            UnknownModelError: no such name or version.
        """
        versions = self.versions(name)
        if not versions:
            raise UnknownModelError(f"no model '{name}' in {self.root}{self._suggestion(name)}")
        if version is not None and version not in versions:
            known = ", ".join(map(str, versions))
            raise UnknownModelError(f"no version {version} of '{name}' in {self.root}; there are: {known}")
        return self.root / name / str(versions[-1] if version is None else version)

    def write(self, draft: BundleDraft) -> Bundle:
        """Write a bundle here.

        Raises:
            BundleError: this store is read-only, or as ``write_bundle``.
        """
        self.refuse_if_read_only()
        return write_bundle(self.root, draft)

    def remove(self, name: str, version: int) -> None:
        """Delete one version: gone for readers at once, then from the disk.

        Raises:
            UnknownModelError: no such name or version.
            BundleError: this store is read-only, or the disk refused.
        """
        self.refuse_if_read_only()
        folder = self.folder(name, version)
        try:
            grave = Path(tempfile.mkdtemp(prefix=REMOVED_PREFIX, dir=self.root))
            try:
                folder.rename(grave / "bundle")
            finally:
                shutil.rmtree(grave, ignore_errors=True)
        except FileNotFoundError as error:
            raise UnknownModelError(f"'{name}' version {version} was removed by someone else") from error
        except OSError as error:
            raise BundleError(f"{folder}: can't be removed: {error}") from error
        # Not empty, or gone already: other versions, or another remover.
        with contextlib.suppress(OSError):
            folder.parent.rmdir()

    def refuse_if_read_only(self) -> None:
        """Raises: BundleError: these are the shipped bundles."""
        if self.read_only:
            raise BundleError(
                f"{self.root} holds the bundles that came with quickeye and is read-only; "
                "name a store of your own with --store DIR or QUICKEYE_STORE"
            )

    def _suggestion(self, name: str) -> str:
        names = self.names()
        close = difflib.get_close_matches(name, names, n=1)
        if close:
            return f"; did you mean '{close[0]}'?"
        return f"; there are: {', '.join(names[:10])}" if names else " (it is empty)"


def _folders(root: Path, pattern: re.Pattern[str]) -> list[str]:
    """Names of the folders in ``root`` that match, sorted; symlinks do not count."""
    try:
        with os.scandir(root) as scan:
            return sorted(entry.name for entry in scan if pattern.fullmatch(entry.name) and _is_folder(entry))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise BundleError(f"{root}: the store can't be read: {error}") from error


def _is_folder(entry: os.DirEntry[str]) -> bool:
    return entry.is_dir(follow_symlinks=False)


def shipped_store() -> Store:
    """The bundles that came with the package; reading only."""
    return Store(Path(__file__).parent / "bundles")


def parse_reference(text: str) -> tuple[str, int | None]:
    """``name`` or ``name/version`` to its parts.

    Raises:
        UnknownModelError: neither of the two.
    """
    name, slash, version = text.partition("/")
    if _NAME.fullmatch(name) and (not slash or _VERSION.fullmatch(version)):
        return name, int(version) if slash else None
    raise UnknownModelError(f"'{text}' is not a model: write NAME or NAME/VERSION, such as efficientnet_lite0/1")
