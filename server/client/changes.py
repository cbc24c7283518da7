"""Waiting until something is true, on one event loop."""

import asyncio
from collections.abc import Callable


class Changes:
    """Whoever changes what others wait for calls ``announce``; nothing polls."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Future[None]] = set()

    def announce(self) -> None:
        """Let everybody look again."""
        for future in self._waiting:
            if not future.done():
                future.set_result(None)

    async def until(self, is_true: Callable[[], bool], timeout_s: float | None = None) -> None:
        """Return as soon as ``is_true()``, at once if it already is.

        Raises:
            TimeoutError.
        """
        async with asyncio.timeout(timeout_s):
            while not is_true():
                future = asyncio.get_running_loop().create_future()
                self._waiting.add(future)
                try:
                    await future
                finally:
                    self._waiting.discard(future)
