"""Aligned columns for a terminal."""

import re
from collections.abc import Sequence

# A terminal's escape sequences begin with control characters: a stranger's text must not bring any.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows of equal length, the first a heading; columns as wide as their widest cell."""
    cells = [[_CONTROL.sub("?", cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
    return "\n".join(lines)


def file_size(size: int) -> str:
    """``5.2 MB``, ``1.7 kB``; powers of ten."""
    return f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size / 1e3:.1f} kB"


def counted(number: int, noun: str) -> str:
    """``1 thread``, ``2,000 threads``; nouns whose plural takes an s."""
    return f"{number:,} {noun}{'s' if number != 1 else ''}"
