"""Manifests: a CSV, TSV or JSONL file with a row for each picture.

One column names the picture, relative to the manifest (``..`` and absolute paths
are allowed: it is one's own file on one's own disk) or in a package (``package:path``,
``package_files.py``), each label column is a task, and a split column may say train,
val or test. Empty labels are allowed where there are several tasks.
"""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from optimize.choice import nearest
from optimize.data.listing import Listing, Value
from optimize.data.options import DataOptions
from optimize.data.package_files import found_file
from optimize.data.picture_files import FilePictures
from optimize.errors import DataError

SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson")
SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
}
_PICTURE_COLUMNS = ("picture", "image", "path", "file", "filename")
_LABEL_COLUMNS = ("label", "class")
_SPLIT_COLUMNS = ("split",)

Row = tuple[int, Mapping[str, str | None]]  # line number, cells


def list_manifest(path: Path, options: DataOptions) -> dict[str, Listing]:
    """Listings by split, ``""`` for all of them where there is no split column.

    Raises:
        DataError: not such a file, a column that is not there, or a row that makes no sense; the line is named.
    """
    rows = list(_jsonl_rows(path) if path.suffix.lower() in SUFFIXES[2:] else _csv_rows(path))
    if not rows:
        raise DataError(f"{path}: it lists no pictures")
    known = list(dict.fromkeys(name for _, cells in rows for name in cells))
    picture = _column(path, known, options.picture_column, _PICTURE_COLUMNS, "picture_column")
    labels = options.label_columns or (_column(path, known, None, _LABEL_COLUMNS, "label_columns"),)
    for name in labels:
        _column(path, known, name, (), "label_columns")
    split = options.split_column or next((name for name in _SPLIT_COLUMNS if name in known), None)
    if split is not None:
        _column(path, known, split, (), "split_column")
    parts: dict[str, list[Row]] = {}
    for row in rows:
        parts.setdefault(_split_of(path, row, split), []).append(row)
    return {name: _listing(path, name, part, picture, labels) for name, part in parts.items()}


def _listing(path: Path, split: str, rows: Sequence[Row], picture: str, labels: tuple[str, ...]) -> Listing:
    names = [_required(path, row, picture) for row in rows]
    columns = tuple(tuple(_label(path, row, name, len(labels) > 1) for row in rows) for name in labels)
    for row, *values in zip(rows, *columns, strict=True):
        if all(value is None for value in values):
            raise DataError(f"{path}, line {row[0]}: no label at all")
    files = tuple(found_file(path.parent / name, name) for name in names)
    return Listing(f"{path} ({split})" if split else str(path), FilePictures(files, tuple(names)), labels, columns)


def _required(path: Path, row: Row, name: str) -> str:
    value = row[1].get(name)
    if not value or "\x00" in value:
        raise DataError(f"{path}, line {row[0]}: no {name}")
    if "://" in value:
        raise DataError(f"{path}, line {row[0]}: {value} is an address; pictures are read from files")
    return value


def _label(path: Path, row: Row, name: str, may_be_empty: bool) -> Value:
    value = row[1].get(name)
    if not value and not may_be_empty:
        raise DataError(f"{path}, line {row[0]}: no {name}")
    return value or None


def _split_of(path: Path, row: Row, column: str | None) -> str:
    if column is None:
        return ""
    text = row[1].get(column) or ""
    if text.lower() not in SPLIT_NAMES:
        raise DataError(f"{path}, line {row[0]}: {column} is {text!r}{nearest(text, ('train', 'val', 'test'))}")
    return SPLIT_NAMES[text.lower()]


def _column(path: Path, known: Sequence[str], wanted: str | None, usual: tuple[str, ...], option: str) -> str:
    if wanted is not None:
        if wanted not in known:
            raise DataError(f"{path}: there is no column {wanted!r}{nearest(wanted, known)}")
        return wanted
    for name in usual:
        if name in known:
            return name
    raise DataError(
        f"{path}: no column is called {' or '.join(usual)}; data.{option} says which it is; "
        f"there are: {', '.join(known)}"
    )


def _csv_rows(path: Path) -> Iterator[Row]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, delimiter="\t" if path.suffix.lower() == ".tsv" else ",", strict=True)
            head = [name.strip() for name in next(reader, [])]
            if len(set(head)) != len(head):
                raise DataError(f"{path}: two columns have one name in its first line: {', '.join(head)}")
            for cells in reader:
                if not cells:
                    continue
                if len(cells) != len(head):
                    raise DataError(f"{path}, line {reader.line_num}: {len(cells)} cells; the head has {len(head)}")
                yield reader.line_num, dict(zip(head, map(str.strip, cells), strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: it can't be read: {error}") from error


def _jsonl_rows(path: Path) -> Iterator[Row]:
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield number, _cells(path, number, line)
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: it can't be read: {error}") from error


def _cells(path: Path, number: int, line: str) -> dict[str, str | None]:
    """An object's texts and whole numbers as text; what else it holds (boxes, scores) is nobody's label."""
    try:
        read = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}, line {number}: no JSON: {error}") from error
    if not isinstance(read, dict):
        raise DataError(f"{path}, line {number}: not an object, {{…}}")
    kept = {key: value for key, value in read.items() if value is None or isinstance(value, str | int)}
    return {key: None if value is None else _text(value) for key, value in kept.items()}


def _text(value: str | int) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value).strip()
