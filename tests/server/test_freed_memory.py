"""Memory that was freed goes back to the system when asked."""

import os
import platform
from pathlib import Path

import pytest

from server.freed_memory import give_back

BLOCK = 4096 - 64  # small enough to come from the heap, which is not returned by itself
BLOCKS = 20_000


def resident_mb() -> float:
    """This process's resident set."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="malloc_trim is glibc's; this needs Linux with glibc")
def test_what_was_freed_leaves_the_process() -> None:
    blocks = [b"x" * BLOCK for _ in range(BLOCKS)]
    last = blocks[-1]  # stands at the top of the heap and keeps it from shrinking
    full_mb = resident_mb()
    blocks.clear()
    give_back()
    assert full_mb - resident_mb() > BLOCK * BLOCKS / 1e6 / 2
    assert len(last) == BLOCK


def test_a_second_time_finds_nothing_and_says_nothing() -> None:
    give_back()
    before_mb = resident_mb()
    give_back()
    assert abs(resident_mb() - before_mb) < 20
