"""Keep freed memory, instead of handing it back to the kernel after every layer.

glibc gives any block above a threshold pages of its own and returns them on ``free``;
a network's activations are such blocks, so that each layer of each step has the kernel
take pages away and clear fresh ones. Raising the thresholds lets the same pages serve
all steps. What it costs: the process keeps its largest size until it ends.

``mallopt`` does for this process what the variables ``MALLOC_MMAP_THRESHOLD_``,
``MALLOC_TRIM_THRESHOLD_`` and ``MALLOC_TOP_PAD_`` would do from outside, and at any
time; where a user has set one of these, it is left alone.
"""

import ctypes
import os
import sys
from collections.abc import Callable, Mapping

MEGABYTE = 2**20

# glibc's malloc.h: parameter → (its number, its value here, the variable that sets it from outside).
SETTINGS: dict[str, tuple[int, int, str]] = {
    "M_MMAP_THRESHOLD": (-3, 1024 * MEGABYTE, "MALLOC_MMAP_THRESHOLD_"),
    "M_TRIM_THRESHOLD": (-1, 1024 * MEGABYTE, "MALLOC_TRIM_THRESHOLD_"),
    "M_TOP_PAD": (-2, 64 * MEGABYTE, "MALLOC_TOP_PAD_"),
}

Mallopt = Callable[[int, int], int]


def keep_freed_memory(environment: Mapping[str, str] = os.environ, mallopt: Mallopt | None = None) -> tuple[str, ...]:
    """Set what nobody else has set.

    Args:
        environment: where a user may have set it.
        mallopt: the C library's, found by default.
    Returns:
        The parameters that are now set; none where the C library is not glibc.
    """
    found = mallopt or _glibc_mallopt()
    if found is None:
        return ()
    wanted = {
        name: (number, value) for name, (number, value, variable) in SETTINGS.items() if variable not in environment
    }
    return tuple(name for name, (number, value) in wanted.items() if found(number, value) == 1)


def _glibc_mallopt() -> Mallopt | None:
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    if not hasattr(library, "gnu_get_libc_version"):  # musl has neither
        return None
    mallopt: Mallopt = library.mallopt
    return mallopt
