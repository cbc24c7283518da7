"""The client at the other end, as our HTTP protocol knows it: a hot route's short cut beside ASGI.

Through ASGI, a body that has long arrived costs a coroutine under a timeout, and noticing
that the client left costs a task that waits for it: a tenth of a small request. The
protocol (``http_protocol.py``) knows both already. Under any other ASGI server there is no
peer, and the routes use ``receive``.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

PEER = "quickeye.peer"  # its name among a scope's extensions


class Peer(Protocol):
    """Of one request, on the event loop."""

    def watch(self, on_left: Callable[[], None]) -> None:
        """Have ``on_left`` called when the client leaves before it has its response; at once, when it has left."""

    def respond(self, headers: Sequence[tuple[bytes, bytes]], body: bytes) -> bool:
        """Send a whole response with status 200; False when that has to be done through ASGI.

        Args:
            headers: lower-case names, Content-Length among them; nothing of a caller's that was not checked.
        """

    def whole_body(self) -> bytes | None:
        """The request's body, if all of it is here; None otherwise, or when it was given out already."""
