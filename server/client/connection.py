"""Opening a stream's WebSocket, with the library's exceptions turned into ours."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from server.client.errors import StreamClosedError, TimedOutError, UnexpectedReplyError, UnreachableError
from server.client.refusals import refusal_of
from server.client.stream_target import StreamTarget

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection
    from websockets.exceptions import ConnectionClosed

# Answers are small; the largest is 1,000 classes and a class-activation map.
MAX_EVENT_BYTES = 8 * 2**20

_ENDINGS = {
    1000: "the server closed the stream",
    1001: "the server is stopping",
    1006: "the connection broke",
    1008: "the server closed the stream for a broken rule",
    1009: "a frame was larger than the server takes",
    1011: "the server failed",
    1012: "the server is restarting",
    1013: "the server is overloaded",
}


async def open_connection(target: StreamTarget) -> "ClientConnection":
    """Connect and shake hands.

    Raises:
        UnreachableError, TimedOutError, RefusedError, UnexpectedReplyError.
    """
    from websockets.asyncio.client import connect
    from websockets.exceptions import InvalidHandshake, InvalidStatus
    from websockets.typing import Subprotocol

    where = target.url.partition("?")[0]
    try:
        return await connect(
            target.url,
            additional_headers=target.headers,
            subprotocols=[Subprotocol(name) for name in target.subprotocols],
            compression=None,  # pictures are compressed already
            proxy=True if target.proxies else None,
            ssl=(target.tls or True) if target.url.startswith("wss:") else None,
            open_timeout=target.timeouts.open_s,
            close_timeout=target.timeouts.close_s,
            ping_interval=target.timeouts.ping_s,
            ping_timeout=2 * target.timeouts.ping_s,
            max_size=MAX_EVENT_BYTES,
        )
    except InvalidStatus as error:
        answer = error.response
        raise refusal_of(answer.status_code, answer.headers, answer.body, where) from None
    except TimeoutError:
        raise TimedOutError(f"{where} did not answer within {target.timeouts.open_s:g} s") from None
    except OSError as error:
        raise UnreachableError(f"can't reach {where}: {told(error)}") from error
    except InvalidHandshake as error:
        if isinstance(error.__cause__, EOFError):
            raise UnreachableError(f"{where} hung up during the handshake") from error
        raise UnexpectedReplyError(f"{where} does not answer as a Quickeye server: {error}") from error


def told(error: OSError) -> str:
    """What the system says of an error, in few words: ``Connection refused``."""
    if error.errno and type(error).__module__ == "builtins":  # others count their own numbers
        return os.strerror(error.errno)
    return error.strerror or str(error) or type(error).__name__


def closed_by(closed: "ConnectionClosed", unanswered: Sequence[int]) -> StreamClosedError:
    """How a stream ended; ``unanswered`` frames have no event."""
    if closed.rcvd is not None:
        code, reason = closed.rcvd.code, closed.rcvd.reason
    else:
        code, reason = 1006, "" if closed.sent is None else closed.sent.reason
    message = _ENDINGS.get(code, f"the server closed the stream with code {code}")
    told = f"{message}: {reason}" if reason not in ("", message) else message
    return StreamClosedError(told, close_code=int(code), reason=reason, unanswered=unanswered)
