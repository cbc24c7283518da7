"""Text messages of a client: small JSON objects with a ``type``."""

from typing import Any

import orjson

from server.errors import InvalidRequestError
from server.streams.options import told_back

MAX_CHARACTERS = 16 * 1024
MAX_ID = 200

# type -> what it may hold besides; None: the options of a stream
FIELDS: dict[str, frozenset[str] | None] = {
    "config": None,
    "ping": frozenset({"id"}),
    "stats": frozenset(),
    "end": frozenset(),
}


def parse_control(text: str) -> dict[str, Any]:
    """Read one.

    Raises:
        InvalidRequestError: too long, no JSON object, or none of the types.
    """
    if len(text) > MAX_CHARACTERS:
        raise InvalidRequestError(
            f"a text message may have {MAX_CHARACTERS:,} characters, this one has {len(text):,}; send pictures as "
            "binary messages"
        )
    try:
        message = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise InvalidRequestError(f"a text message must be JSON: {error}") from None
    if not isinstance(message, dict):
        raise InvalidRequestError('a text message must be a JSON object such as {"type": "ping"}')
    kind = message.get("type")
    if not isinstance(kind, str) or kind not in FIELDS:
        raise InvalidRequestError(f"type must be one of {', '.join(FIELDS)}, not {told_back(kind)}")
    known = FIELDS[kind]
    unknown = [] if known is None else sorted(set(message) - known - {"type"})
    if unknown:
        raise InvalidRequestError(f"{kind} has no field {unknown[0][:80]!r}")
    if "id" in message and kind == "ping":
        _must_be_short(message["id"])
    return message


def _must_be_short(value: object) -> None:
    """An id is told back: text or a number, no longer than it needs to be."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number and not (isinstance(value, str) and len(value) <= MAX_ID):
        raise InvalidRequestError(f"id must be a number, or a text of at most {MAX_ID} characters")
