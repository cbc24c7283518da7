"""The threads of this process: what to call them, and how long each was on a CPU.

Linux tells the CPU time of any thread of the same process through a clock of its own,
in nanoseconds, for 1 µs of work (``time.clock_gettime``; the clock's number is made
of the thread's as in the kernel's include/linux/posix-timers.h). Elsewhere it is
not to be had, and a profile tells wall time alone.
"""

import contextlib
import sys
import threading
import time
from pathlib import Path

TASKS = Path("/proc/self/task")
_PER_THREAD_CPU = 0b110  # the kernel's CPUCLOCK_PERTHREAD_MASK and CPUCLOCK_SCHED


def cpu_s(native_id: int | None) -> float | None:
    """Seconds that a thread of this process was on a CPU; None when it is gone, or the system does not tell."""
    if native_id is None or sys.platform != "linux":
        return None
    try:
        return time.clock_gettime((~native_id << 3) | _PER_THREAD_CPU)
    except OSError:
        return None


def python_threads(loop_ident: int | None) -> dict[int, tuple[str, int | None]]:
    """By Python's identity: what each thread is called in a profile, and its number in the system.

    Args:
        loop_ident: of the thread with the event loop.
    """
    return {
        thread.ident: (_shown(thread, loop_ident), thread.native_id)
        for thread in threading.enumerate()
        if thread.ident is not None
    }


def other_threads(python: set[int | None]) -> dict[int, str]:
    """Threads that no Python runs in, such as an engine's own: number in the system → name there."""
    found: dict[int, str] = {}
    with contextlib.suppress(OSError):
        for task in TASKS.iterdir():
            if int(task.name) not in python:
                with contextlib.suppress(OSError):  # it ended just now
                    found[int(task.name)] = (task / "comm").read_text(errors="replace").strip()
    return found


def _shown(thread: threading.Thread, loop_ident: int | None) -> str:
    if thread.ident == loop_ident:
        return "event loop"
    pool, _, number = thread.name.partition("_")
    if pool in ("asyncio", "uvloop") and number.isdigit():
        return f"pool thread {number}"
    return thread.name
