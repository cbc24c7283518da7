"""Where a stream connects and what it asks for: all that stays the same when it is opened again."""

import ssl
from dataclasses import dataclass, field
from typing import Literal, TypedDict

from server.client.events import Policy

Format = Literal["json", "msgpack"]
MAX_UNREAD_EVENTS = 4096


@dataclass(frozen=True, slots=True)
class Timeouts:
    """All in seconds.

    ``open_s``: for the handshake, and again for the first message. ``answer_s``: for the answer to a control
    message, for room for another frame under ``all``, for everything that is left after ``end``. ``ping_s``: how
    often the server is pinged; the connection counts as broken when it has not answered after twice that.
    ``close_s``: for the closing handshake.
    """

    open_s: float = 10.0
    answer_s: float = 30.0
    ping_s: float = 10.0
    close_s: float = 5.0


PATIENT = Timeouts()


class StreamOptions(TypedDict, total=False):
    """What a stream asks of the server; what is left out is the server's default.

    See docs/streaming.md for what each does.
    """

    model: str
    version: int
    top_k: int
    threshold: float | None
    priority: int
    policy: Policy
    only_changed: bool
    gate: float
    smoothing: float
    explain: str | None


@dataclass(frozen=True, slots=True)
class StreamTarget:
    """How to open a stream.

    Args:
        url: with the options in its query.
        proxies: whether the environment's proxies are used.
        tls: for ``wss`` with certificates of your own.
        max_inflight: frames without an event; None: 2 under ``latest``, else what the server takes.
        max_unread: events that may wait for the caller.
    """

    url: str
    headers: dict[str, str] = field(repr=False)
    timeouts: Timeouts
    proxies: bool
    tls: ssl.SSLContext | None = None
    format: Format = "json"
    max_inflight: int | None = None
    max_unread: int = MAX_UNREAD_EVENTS

    @property
    def subprotocols(self) -> tuple[str, ...]:
        """What the handshake offers."""
        return (f"quickeye.{self.format}",)
