"""Messages of the server as documents: JSON in text, MessagePack in bytes."""

import json
from typing import Any

from server.client.errors import UnexpectedReplyError
from server.client.events import Event, event_of


def event_in(message: str | bytes) -> Event | None:
    """One message's event; None for a type that this client does not know.

    Raises:
        UnexpectedReplyError: no event at all.
    """
    try:
        document = json.loads(message) if isinstance(message, str) else _from_msgpack(message)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise UnexpectedReplyError(f"a message that is no event: is this a Quickeye server? {message[:80]!r}")
    return event_of(document)


def _from_msgpack(message: bytes) -> Any:  # noqa: ANN401 (what a stranger sends)
    import ormsgpack

    return ormsgpack.unpackb(message)
