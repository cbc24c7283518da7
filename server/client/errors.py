"""Every way a call can end badly on the caller's side.

ClientError
├── UnreachableError       nobody answers there, or the connection broke          (also a ConnectionError)
├── TimedOutError          no answer within the client's own time                 (also a TimeoutError)
├── RefusedError           the server said no: status, code, retry_after_s
├── UnexpectedReplyError   something answers, but not as a Quickeye server does
├── StreamClosedError      a stream ended before its ``end``: close code, reason  (also a ConnectionError)
├── FrameTooLargeError     a frame that the server would close the stream for     (also a ValueError)
└── UnreadEventsError      a stream's events pile up because nobody reads them

``transient`` says whether the same call may succeed later.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from server.client.replies import PictureResult

TRANSIENT_STATUSES = frozenset({429, 502, 503})
TRANSIENT_CLOSE_CODES = frozenset({1001, 1006, 1011, 1012, 1013})


class ClientError(Exception):
    """Base of the tree."""

    @property
    def transient(self) -> bool:
        """Whether the same call may succeed later."""
        return False

    @property
    def retry_after_s(self) -> float | None:
        """How long the server asks to wait before the next attempt, if it said so."""
        return None


class UnreachableError(ClientError, ConnectionError):
    """Nobody answers at that address, or the connection broke before the answer."""

    @property
    def transient(self) -> bool:
        """Always."""
        return True


class TimedOutError(ClientError, TimeoutError):
    """The client's own patience ended; what the server made of the request is not known."""

    @property
    def transient(self) -> bool:
        """Always."""
        return True


class RefusedError(ClientError):
    """The server's answer is an error.

    ``code`` is the server's (see docs/http.md), or ``http_<status>`` when whatever answered does not speak
    its language: a proxy, or another server. ``status`` is None inside a stream.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None,
        code: str,
        request_id: str | None = None,
        retry_after_s: float | None = None,
        results: Sequence["PictureResult"] = (),
    ) -> None:
        super().__init__(f"{message} ({code})")
        self.message = message
        self.status = status
        self.code = code
        self.request_id = request_id
        self.results = tuple(results)
        self._retry_after_s = retry_after_s

    @property
    def transient(self) -> bool:
        """Overloaded, loading, draining, or a gateway that lost its server."""
        return self.status in TRANSIENT_STATUSES or self.code == "http_504"

    @property
    def retry_after_s(self) -> float | None:
        """The Retry-After header, in seconds."""
        return self._retry_after_s


class UnexpectedReplyError(ClientError):
    """What answers there is no Quickeye server, or one that speaks otherwise."""


class StreamClosedError(ClientError, ConnectionError):
    """The stream is over, and not because this side ended it.

    ``close_code`` is the WebSocket's (1006: the connection broke without one); ``unanswered`` are the frames
    that were sent, or waited to be, and have no event.
    """

    def __init__(self, message: str, *, close_code: int, reason: str = "", unanswered: Sequence[int] = ()) -> None:
        super().__init__(message)
        self.close_code = close_code
        self.reason = reason
        self.unanswered = tuple(unanswered)

    @property
    def transient(self) -> bool:
        """Not when a rule was broken (1008) or a frame was too big (1009)."""
        return self.close_code in TRANSIENT_CLOSE_CODES


class FrameTooLargeError(ClientError, ValueError):
    """A frame has more bytes than the server takes; it was not sent."""


class UnreadEventsError(ClientError):
    """Too many events of a stream wait to be read."""
