"""Before a stream: who may open it, with which options, in which format."""

import urllib.parse
from collections.abc import Sequence

from server.errors import ForbiddenError
from server.exchange import Exchange, Message, Receive, RequestIds, Scope, Send, open_exchange
from server.keys import Headers, key_of
from server.streams.events import FORMATS, KEY_PREFIX, Format, as_json

DEFAULT_PORTS = {"http": ":80", "https": ":443", "ws": ":80", "wss": ":443"}


def open_handshake(scope: Scope, receive: Receive, send: Send, ids: RequestIds) -> Exchange:
    """A WebSocket's handshake as an exchange: until it is accepted, it can be refused like any request."""

    async def as_refusal(message: Message) -> None:
        await send({**message, "type": "websocket." + message["type"]})

    return open_exchange({**scope, "method": "GET"}, receive, as_refusal, ids)


def with_key(headers: Headers, subprotocols: Sequence[str]) -> Headers:
    """The headers, with the key that came as ``quickeye.key.<key>`` if none came as a header."""
    if key_of(headers) is not None:
        return headers
    for name in subprotocols:
        if name.startswith(KEY_PREFIX):
            key = urllib.parse.unquote(name.removeprefix(KEY_PREFIX))
            return {**headers, b"x-api-key": key.encode("latin-1", "replace")}
    return headers


def chosen(subprotocols: Sequence[str]) -> tuple[str | None, Format]:
    """The subprotocol to select, and the format of events: the first one offered that is known.

    A client that offers only a key gets it back: browsers fail a connection that selects none of theirs.
    """
    for name in subprotocols:
        if name in FORMATS:
            return name, FORMATS[name]
    for name in subprotocols:
        if name.startswith(KEY_PREFIX):
            return name, as_json
    return None, as_json


def must_be_ours(headers: Headers, allowed: Sequence[str]) -> None:
    """Let a page of this server in, one that the configuration names, and whoever is no page.

    Raises:
        ForbiddenError: a page of another site.
    """
    given = headers.get(b"origin")
    if given is None or "*" in allowed:
        return
    origin = given.decode("latin-1").strip().lower()
    if origin in {each.strip().rstrip("/").lower() for each in allowed}:
        return
    scheme, _, place = origin.partition("://")
    host = headers.get(b"host", b"").decode("latin-1").strip().lower()
    port = DEFAULT_PORTS.get(scheme, "")
    if place and place.removesuffix(port) == host.removesuffix(port):
        return
    raise ForbiddenError(
        f"pages of {origin[:80]!r} may not open streams here; the setting allowed_origins would let them"
    )
