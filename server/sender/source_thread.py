"""A thread for calls that block for as long as a camera likes, and hold up neither the event loop nor the end."""

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

CLOSE_WITHIN_S = 1.0

T = TypeVar("T")
Call = tuple[Callable[[], Any], asyncio.Future[Any]]


class SourceThread:
    """One call at a time, in order; a daemon, so that a camera that hangs never keeps the program."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._calls: queue.SimpleQueue[Call | None] = queue.SimpleQueue()
        threading.Thread(target=self._run, name="frame source", daemon=True).start()

    async def call(self, work: Callable[[], T]) -> T:
        """Run it there; a caller that is cancelled leaves the work running, and its result is forgotten."""
        future: asyncio.Future[T] = self._loop.create_future()
        self._calls.put((work, future))
        return await future

    async def close(self, last: Callable[[], None]) -> None:
        """One last call, and the end of the thread; a thread that hangs is left to itself."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_WITHIN_S):
                await self.call(last)
        self._calls.put(None)

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            work, future = call
            try:
                result, error = work(), None
            except BaseException as caught:  # noqa: BLE001 (raised again where it was asked for)
                result, error = None, caught
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                self._loop.call_soon_threadsafe(self._tell, future, result, error)

    @staticmethod
    def _tell(future: asyncio.Future[Any], result: object, error: BaseException | None) -> None:
        if future.done():
            return
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)
