"""One frame between a source and a connection that may be down."""

from collections.abc import Callable

from server.client.changes import Changes
from server.sender.sources import Frame


class Outbox:
    """Holds one frame: ``put`` waits until it is taken, or with ``newest_wins`` replaces it.

    Args:
        replaced: told of a frame that a newer one replaced.
    """

    def __init__(self, *, newest_wins: bool, replaced: Callable[[Frame], None]) -> None:
        self._newest_wins = newest_wins
        self._replaced = replaced
        self._changes = Changes()
        self._frame: Frame | None = None
        self._closed = False

    @property
    def is_done(self) -> bool:
        """Whether nothing will ever be taken again."""
        return self._closed and self._frame is None

    async def put(self, frame: Frame) -> None:
        """Leave a frame to be sent."""
        if self._newest_wins:
            if self._frame is not None:
                self._replaced(self._frame)
        else:
            await self._changes.until(lambda: self._frame is None)
        self._frame = frame
        self._changes.announce()

    async def take(self) -> Frame | None:
        """The frame, as soon as there is one; None when there will be none."""
        await self._changes.until(lambda: self._frame is not None or self._closed)
        frame, self._frame = self._frame, None
        self._changes.announce()
        return frame

    def close(self, *, discard: bool = False) -> None:
        """Nothing more comes; what is still held may be taken, unless it is discarded."""
        self._closed = True
        if discard:
            self._frame = None
        self._changes.announce()
