"""Threads for the sampler to find: one that works until it was seen often enough, one that waits."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

WORK_S = 0.05  # of a CPU
PATIENCE_S = 120.0  # never used up: a test that hangs should say so


def spin_here(enough: Callable[[], bool]) -> None:
    """Work until it is enough, and for a while of CPU time at least."""
    until_s = time.monotonic() + PATIENCE_S
    while not (enough() and time.thread_time() > WORK_S) and time.monotonic() < until_s:
        sum(range(500))


def wait_here(over: threading.Event) -> None:
    """Do nothing."""
    over.wait(PATIENCE_S)


@contextlib.contextmanager
def spinning(name: str = "busy") -> Iterator[None]:
    """A busy thread as long as this lasts."""
    over = threading.Event()
    thread = threading.Thread(target=spin_here, args=(over.is_set,), name=name)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
