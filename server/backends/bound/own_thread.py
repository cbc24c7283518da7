"""A thread that one thing is always run on, where its library remembers which thread that was."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Result = TypeVar("Result")


class OwnThread:
    """Runs what it is given and waits; in the caller's thread, where ``own`` is False."""

    def __init__(self, *, own: bool) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="onnxruntime") if own else None

    def run(self, act: Callable[[], Result]) -> Result:
        """Its result, or what it raised."""
        return act() if self._thread is None else self._thread.submit(act).result()

    def close(self) -> None:
        """End the thread, when it has done what it was given."""
        if self._thread is not None:
            self._thread.shutdown()
