"""Query strings: names that are known, each once, with a hint for the others."""

import difflib
import urllib.parse
from collections.abc import Collection

from server.errors import InvalidRequestError

MAX_FIELDS = 32


def read_query(query: bytes, known: Collection[str]) -> dict[str, str]:
    """Names and values of a query string.

    Raises:
        InvalidRequestError: it cannot be read, or a name is not known or comes twice.
    """
    values: dict[str, str] = {}
    try:
        pairs = urllib.parse.parse_qsl(
            query.decode("ascii"), keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="strict"
        )
    except (UnicodeDecodeError, ValueError):
        raise InvalidRequestError("the query string cannot be read") from None
    for name, value in pairs:
        must_be_known(name, known)
        if name in values:
            raise InvalidRequestError(f"{name} is given twice")
        values[name] = value
    return values


def must_be_known(name: str, known: Collection[str]) -> None:
    """Refuse a name that means nothing.

    Raises:
        InvalidRequestError: with the nearest one that does.
    """
    if name not in known:
        near = difflib.get_close_matches(name, known, 1)
        hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
        raise InvalidRequestError(f"no parameter {name[:80]!r}; {hint}")
