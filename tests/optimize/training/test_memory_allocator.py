"""Freed memory stays with the process: counted in page faults, in a process of its own."""

import ctypes
import subprocess
import sys

import pytest

from optimize.training.memory_allocator import SETTINGS, keep_freed_memory

HAS_GLIBC = sys.platform.startswith("linux") and hasattr(ctypes.CDLL(None), "gnu_get_libc_version")

# 32 blocks of 16 MB, one after the other: 4096 pages each, unless they are the same pages.
PROGRAM = """
import resource, sys
from optimize.training.memory_allocator import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
import numpy as np
np.ones(2**21)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(32):
    np.ones(2**21)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(what: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, what], capture_output=True, text=True, timeout=120, check=True
    )
    return int(done.stdout)


@pytest.mark.skipif(not HAS_GLIBC, reason="this C library is not glibc")
def test_the_kernel_is_not_asked_for_the_same_pages_again() -> None:
    given_back, kept = faults("as it is"), faults("keep")

    assert kept * 20 < given_back


def test_what_a_user_has_set_is_left_alone() -> None:
    asked: list[tuple[int, int]] = []

    def mallopt(number: int, value: int) -> int:
        asked.append((number, value))
        return 1

    done = keep_freed_memory({"MALLOC_TRIM_THRESHOLD_": "1"}, mallopt)

    assert done == ("M_MMAP_THRESHOLD", "M_TOP_PAD")
    assert asked == [SETTINGS[name][:2] for name in done]


def test_a_refusal_is_told() -> None:
    assert keep_freed_memory({}, lambda number, value: 0) == ()
