"""Which files of a folder are pictures, by their names; no file is opened."""

from pathlib import Path

PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".avif"})


def picture_files(path: Path, *, recursive: bool) -> list[Path]:
    """The picture files that a path names, sorted.

    Args:
        path: a file, taken whatever its name is, or a folder, of which the
            files with a picture's suffix count (hidden ones do not).
        recursive: whether folders inside the folder are entered, too.
    Raises:
        FileNotFoundError: there is no such path.
    """
    if not path.exists():
        raise FileNotFoundError(f"no such file or folder: {path}")
    if not path.is_dir():
        return [path]
    found = path.rglob("*") if recursive else path.iterdir()
    return sorted(file for file in found if _is_picture(file.relative_to(path)) and file.is_file())


def _is_picture(name: Path) -> bool:
    return name.suffix.lower() in PICTURE_SUFFIXES and not any(part.startswith(".") for part in name.parts)
