"""Many threads call networks at the same time; while one traces a network, none does.

``torch.fx`` traces by putting its own function in the place of ``Module.__call__``, for the whole process: a network
that another thread calls meanwhile fails, as it is no part of the one that is traced.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Calls:
    """Who waits to trace goes before those who come to call after."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._calling = 0
        self._tracing = False

    @contextmanager
    def calling(self) -> Iterator[None]:
        """Inside, networks may be called."""
        with self._changed:
            self._changed.wait_for(lambda: not self._tracing)
            self._calling += 1
        try:
            yield
        finally:
            with self._changed:
                self._calling -= 1
                self._changed.notify_all()

    @contextmanager
    def tracing(self) -> Iterator[None]:
        """Inside, one may be traced; not to be entered inside ``calling``."""
        with self._changed:
            self._changed.wait_for(lambda: not self._tracing)
            self._tracing = True
            self._changed.wait_for(lambda: not self._calling)
        try:
            yield
        finally:
            with self._changed:
                self._tracing = False
                self._changed.notify_all()


CALLS = Calls()
