"""One profile at a time, taken by a thread beside the event loop."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable

from server.errors import InternalError, OverloadedError
from server.profiling.profile import Profile
from server.profiling.sampler import Sampler

log = logging.getLogger("quickeye.profiling")

Render = Callable[[Profile], bytes]


class Profiler:
    """Owned by the event loop. ``end`` cuts a running profile short: it is told as far as it came."""

    def __init__(self) -> None:
        self._over: threading.Event | None = None  # of the profile that is being taken
        self._until_s = 0.0

    async def take(self, seconds: float, render: Render) -> bytes:
        """Sample every thread for so long; returns what ``render`` makes of it, in the sampler's thread.

        A caller that is cancelled ends the sampling.

        Raises:
            OverloadedError: another profile is being taken.
        """
        if self._over is not None:
            left_s = max(0.0, self._until_s - time.monotonic())
            raise OverloadedError("a profile is being taken, and there is one at a time", retry_after_s=left_s)
        loop = asyncio.get_running_loop()
        over = self._over = threading.Event()
        self._until_s = time.monotonic() + seconds
        taken: asyncio.Future[bytes] = loop.create_future()
        loop_ident = threading.get_ident()

        def sample() -> None:
            try:
                profile = Sampler(loop_ident).run(seconds, over)
                result: bytes | Exception = b"" if taken.cancelled() else render(profile)
            except Exception as error:  # the thread's border: whoever asked is told, and the log has it
                log.exception("a profile failed")
                result = error
            _to_loop(loop, settle, result)

        def settle(result: bytes | Exception) -> None:
            self._over = None
            if not taken.done():
                if isinstance(result, bytes):
                    taken.set_result(result)
                else:
                    taken.set_exception(InternalError("the profile failed"))

        threading.Thread(target=sample, name="profiler", daemon=True).start()
        try:
            return await taken
        finally:
            over.set()

    def end(self) -> None:
        """The server stops: nobody is to wait for the end of a profile."""
        if self._over is not None:
            self._over.set()


def _to_loop(
    loop: asyncio.AbstractEventLoop, call: Callable[[bytes | Exception], None], result: bytes | Exception
) -> None:
    try:
        loop.call_soon_threadsafe(call, result)
    except RuntimeError:
        if not loop.is_closed():  # closed: nobody is left to be told
            raise
