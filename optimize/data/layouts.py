"""Which of the known layouts a path has, and the listings in it, by split.

Ready-made splits are found in a folder of ``train/`` and ``val/`` or ``test/``
folders, in an IDX folder with both its pairs, and in a manifest with a split
column. A path without any gives one listing, called ``""``.
"""

from pathlib import Path

from optimize.data.idx import images_of_prefix, is_idx, list_pair, parts_of_folder
from optimize.data.image_folder import class_folders, list_classes
from optimize.data.listing import Listing
from optimize.data.manifest_file import SPLIT_NAMES, SUFFIXES, list_manifest
from optimize.data.options import DataOptions
from optimize.data.package_files import found_file
from optimize.errors import DataError

Parts = dict[str, Listing]


def list_path(path: Path, options: DataOptions, *, only: tuple[str, ...] | None = None) -> Parts:
    """Listings by split.

    Args:
        only: of ready-made splits, those that are wanted; None: all.
    Raises:
        DataError: there is nothing there, or nothing of a known layout.
        MissingPhotosError: a package that the path or a manifest in it refers to is not installed.
    """
    path = found_file(path)
    if path.is_dir():
        return _list_folder(path, only)
    if path.is_file():
        if path.suffix.lower() in SUFFIXES:
            return list_manifest(path, options)
        if is_idx(path):
            return {"": list_pair(path)}
        raise DataError(
            f"{path} is neither a manifest ({', '.join(SUFFIXES)}) nor an IDX file; "
            "give a folder with a sub-folder for each class, a manifest, or an IDX images file"
        )
    images = images_of_prefix(path)
    if images is None:
        raise DataError(f"{path}: there is no such file or folder")
    return {"": list_pair(images)}


def _list_folder(folder: Path, only: tuple[str, ...] | None) -> Parts:
    pairs = parts_of_folder(folder)
    if pairs:
        return {split: list_pair(images) for split, images in pairs.items() if only is None or split in only}
    splits = {SPLIT_NAMES[one.name.lower()]: one for one in _split_folders(folder)}
    if splits:
        return {split: list_classes(one) for split, one in splits.items() if only is None or split in only}
    return {"": list_classes(folder)}


def _split_folders(folder: Path) -> list[Path]:
    """The sub-folders, if all bear names of splits, train among them, and hold class folders themselves."""
    inside = class_folders(folder)
    names = {SPLIT_NAMES.get(one.name.lower(), "") for one in inside}
    is_split = "train" in names and "" not in names and 1 < len(names) == len(inside)
    return inside if is_split and all(class_folders(one) for one in inside) else []
