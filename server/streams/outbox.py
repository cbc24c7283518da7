"""What waits to be told: in order, and written by one task.

An event is made when its turn comes, not when it is put here: ages are those of the
moment it leaves, and a result that grew too old can still become a drop.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from server.streams.events import Event

MAX_EVENTS = 32
MAX_BYTES = 512 * 1024


@dataclass(frozen=True, slots=True)
class Waiting:
    """An event to be made; ``size_bytes`` is about what it holds in memory, ``answers`` how many frames it answers."""

    make: Callable[[], Event]
    size_bytes: int
    answers: int


class Outbox:
    """Never refuses: its owner takes nothing new from the client while it is ``full``."""

    def __init__(self, max_events: int = MAX_EVENTS, max_bytes: int = MAX_BYTES) -> None:
        self._waiting: deque[Waiting] = deque()
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._size_bytes = 0
        self._some = asyncio.Event()
        self.moved = asyncio.Event()  # an event left

    def put(self, make: Callable[[], Event], *, size_bytes: int = 200, answers: int = 0) -> None:
        """Tell this after what waits already."""
        self._waiting.append(Waiting(make, size_bytes, answers))
        self._size_bytes += size_bytes
        self._some.set()

    @property
    def full(self) -> bool:
        """Whether nothing more should be asked for."""
        return len(self._waiting) >= self._max_events or self._size_bytes >= self._max_bytes

    @property
    def empty(self) -> bool:
        """Whether everything left."""
        return not self._waiting

    async def head(self) -> Waiting:
        """The next one; it stays until ``left``."""
        while not self._waiting:
            self._some.clear()
            await self._some.wait()
        return self._waiting[0]

    async def next_move(self) -> None:
        """Wait until an event has left, or somebody sets ``moved``."""
        self.moved.clear()
        await self.moved.wait()

    def left(self) -> None:
        """The head was told."""
        self._size_bytes -= self._waiting.popleft().size_bytes
        self.moved.set()
