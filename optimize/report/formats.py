"""How numbers and strangers' words appear in a report."""

import re

from markupsafe import Markup

from optimize.judging.judgement import Figure

NONE = "–"
# Control characters, and those that turn the direction of writing: a class's name must not rearrange the page.
_ODD = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def percent(share: float | None, digits: int = 1) -> str:
    """``86.2 %`` of 0.862; a dash for None."""
    return NONE if share is None else f"{100 * share:.{digits}f} %"


def points(difference: float, digits: int = 1) -> str:
    """``+1.5`` of 0.015: percentage points, with their sign."""
    return f"{100 * difference:+.{digits}f}"


def between(figure: Figure, digits: int = 1, unit: str = " %", scale: float = 100) -> str:
    """``82.1 to 89.5 %``; a dash where there is no interval."""
    if figure.ci95 is None:
        return NONE
    low, high = (scale * one for one in figure.ci95)
    return f"{low:.{digits}f} to {high:.{digits}f}{unit}"


def decimal(value: float | None, digits: int = 3) -> str:
    """``0.123``; a dash for None."""
    return NONE if value is None else f"{value:.{digits}f}"


def file_size(size: int) -> str:
    """``5.2 MB``, ``1.7 kB``; powers of ten."""
    return f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size / 1e3:.1f} kB"


def count(value: int) -> str:
    """``12,345``."""
    return f"{value:,}"


def short(text: str, most: int = 22) -> str:
    """At most ``most`` characters, the last an ellipsis where some are missing."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def printable(value: object) -> object:
    """Every value on its way into the page: text without characters that could confuse a reader; markup is ours."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return _ODD.sub("�", value)
    return value
