"""Keep freed memory, instead of handing it back to the kernel and asking for it anew.

glibc gives any block above a threshold pages of its own and returns them on ``free``, and
it trims what is free at its heap's end. A network's activations are such blocks, so that
each layer of each step has the kernel take pages away and clear fresh ones; so are the
bodies of requests with many pictures. Raising the thresholds lets the same pages serve
all. What it costs: a process that trains keeps its largest size until it ends, one that
serves ``SERVING``'s share of it.

``mallopt`` does for this process what the variables ``MALLOC_MMAP_THRESHOLD_``,
``MALLOC_TRIM_THRESHOLD_`` and ``MALLOC_TOP_PAD_`` would do from outside, and at any
time; where a user has set one of these, it is left alone.
"""

import ctypes
import os
import sys
from collections.abc import Callable, Mapping

MEGABYTE = 2**20

# glibc's malloc.h: parameter → its number, and the variable that sets it from outside.
PARAMETERS: dict[str, tuple[int, str]] = {
    "M_MMAP_THRESHOLD": (-3, "MALLOC_MMAP_THRESHOLD_"),
    "M_TRIM_THRESHOLD": (-1, "MALLOC_TRIM_THRESHOLD_"),
    "M_TOP_PAD": (-2, "MALLOC_TOP_PAD_"),
}
TRAINING = {
    "M_MMAP_THRESHOLD": 1024 * MEGABYTE,
    "M_TRIM_THRESHOLD": 1024 * MEGABYTE,
    "M_TOP_PAD": 64 * MEGABYTE,
}
SERVING = {"M_MMAP_THRESHOLD": 32 * MEGABYTE, "M_TRIM_THRESHOLD": 64 * MEGABYTE}

Mallopt = Callable[[int, int], int]


def keep_freed_memory(
    thresholds: Mapping[str, int], environment: Mapping[str, str] = os.environ, mallopt: Mallopt | None = None
) -> tuple[str, ...]:
    """Set what nobody else has set.

    Args:
        thresholds: bytes, by parameter: ``TRAINING`` or ``SERVING``.
        environment: where a user may have set it.
        mallopt: the C library's, found by default.
    Returns:
        The parameters that are now set; none where the C library is not glibc.
    """
    found = mallopt or _glibc_mallopt()
    if found is None:
        return ()
    wanted = [name for name in thresholds if PARAMETERS[name][1] not in environment]
    return tuple(name for name in wanted if found(PARAMETERS[name][0], thresholds[name]) == 1)


def _glibc_mallopt() -> Mallopt | None:
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    if not hasattr(library, "gnu_get_libc_version"):  # musl has neither
        return None
    mallopt: Mallopt = library.mallopt
    return mallopt
