"""All streams of a server: how many there may be, and their common end."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterator
from typing import Protocol

from server.errors import OverloadedError
from server.metrics import GaugeSample

RETRY_AFTER_S = 5.0


class Drainable(Protocol):
    """A session, as far as the others' keeper knows it. ``given_up``: frames that were not answered in time."""

    given_up: int

    @property
    def model(self) -> str:
        """Who answers it."""

    def drain(self, timeout_s: float) -> None:
        """Answer what is in flight within this time, then close."""


class Sessions:
    """Owned by the event loop."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._places = 0
        self._given_up = 0
        self._drain_timeout_s: float | None = None
        self._open: set[Drainable] = set()
        self._none_open = asyncio.Event()
        self._none_open.set()

    @contextlib.contextmanager
    def place(self) -> Iterator[None]:
        """A place for one stream, from its handshake to its end.

        Raises:
            OverloadedError: all are taken.
        """
        if self._places >= self._limit:
            raise OverloadedError(
                f"all streams that this server takes ({self._limit}) are open; try again later",
                retry_after_s=RETRY_AFTER_S,
            )
        self._places += 1
        try:
            yield
        finally:
            self._places -= 1

    @contextlib.contextmanager
    def entered(self, session: Drainable) -> Iterator[None]:
        """While a session talks to its client."""
        self._open.add(session)
        self._none_open.clear()
        if self._drain_timeout_s is not None:  # it was let in just before
            session.drain(self._drain_timeout_s)
        try:
            yield
        finally:
            self._open.discard(session)
            self._given_up += session.given_up
            if not self._open:
                self._none_open.set()

    async def drain(self, timeout_s: float) -> int:
        """End every stream: what is in flight is answered within ``timeout_s``, then it is told why and closed.

        Returns:
            How many frames were not answered in time.
        """
        self._drain_timeout_s = timeout_s
        for session in tuple(self._open):
            session.drain(timeout_s)
        await self._none_open.wait()  # each session keeps its time
        return self._given_up

    def gauges(self) -> Iterator[GaugeSample]:
        """How many are open, by model."""
        for name, count in Counter(session.model for session in self._open).items():
            yield "quickeye_stream_sessions", (name,), float(count)
