"""Freed memory stays with the process: counted in page faults, in a process of its own."""

import ctypes
import subprocess
import sys

import pytest

from model_zoo.memory_allocator import PARAMETERS, SERVING, TRAINING, keep_freed_memory

HAS_GLIBC = sys.platform.startswith("linux") and hasattr(ctypes.CDLL(None), "gnu_get_libc_version")

# 32 blocks of 16 MB, one after the other: 4096 pages each, unless they are the same pages.
PROGRAM = """
import resource, sys
from model_zoo import memory_allocator
if sys.argv[1] != "AS IT IS":
    memory_allocator.keep_freed_memory(getattr(memory_allocator, sys.argv[1]))
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
    given_back, *kept = [faults(what) for what in ("AS IT IS", "TRAINING", "SERVING")]

    assert max(kept) * 20 < given_back


@pytest.mark.parametrize("thresholds", [TRAINING, SERVING], ids=["training", "serving"])
def test_what_a_user_has_set_is_left_alone(thresholds: dict[str, int]) -> None:
    asked: list[tuple[int, int]] = []

    def mallopt(number: int, value: int) -> int:
        asked.append((number, value))
        return 1

    done = keep_freed_memory(thresholds, {"MALLOC_TRIM_THRESHOLD_": "1"}, mallopt)

    assert done == tuple(name for name in thresholds if name != "M_TRIM_THRESHOLD")
    assert asked == [(PARAMETERS[name][0], thresholds[name]) for name in done]


def test_a_refusal_is_told() -> None:
    assert keep_freed_memory(TRAINING, {}, lambda number, value: 0) == ()
