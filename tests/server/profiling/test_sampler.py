"""The sampler: what it finds in threads of which the test knows what they do."""

import sys
import threading
import time

import pytest

from server.profiling.profile import Profile, Stack, ThreadProfile
from server.profiling.sampler import DEEPER, MAX_DEPTH, NOT_KEPT, Sampler
from server.profiling.threads import cpu_s, other_threads, python_threads
from tests.server.profiling.threads_at_work import PATIENCE_S, spin_here, wait_here

SAMPLES = 15

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="the CPU time of threads is told by Linux alone")


def profile_of(*threads: threading.Thread, sampler: Sampler | None = None, samples: int = SAMPLES) -> Profile:
    """A profile of these and of a thread that works until ``samples`` were taken; it ends with its work."""
    sampler = sampler or Sampler(None)
    over = threading.Event()

    def busy() -> None:
        spin_here(lambda: sampler._samples >= samples)
        over.set()

    working = threading.Thread(target=busy, name="busy")
    for thread in (*threads, working):
        thread.start()
    try:
        return sampler.run(PATIENCE_S, over)
    finally:
        working.join()


def told(profile: Profile, name: str) -> ThreadProfile:
    return next(thread for thread in profile.threads if thread.name == name)


def through(thread: ThreadProfile, function: str) -> list[Stack]:
    """The stacks that lead through a function."""
    return [stack for stack in thread.stacks if any(frame.name == function for frame in stack.frames)]


@on_linux
def test_a_busy_thread_is_told_from_a_waiting_one() -> None:
    over = threading.Event()
    waiting = threading.Thread(target=wait_here, args=(over,), name="idle")
    try:
        profile = profile_of(waiting)
    finally:
        over.set()
        waiting.join()
    busy, idle = told(profile, "busy"), told(profile, "idle")
    assert profile.knows_cpu
    assert busy.cpu_s is not None
    assert idle.cpu_s is not None
    assert through(busy, "spin_here")
    assert sum(stack.wall_s for stack in through(idle, "wait_here")) == pytest.approx(idle.wall_s)
    assert sum(stack.cpu_s for stack in busy.stacks) == pytest.approx(busy.cpu_s)
    assert sum(stack.cpu_s for stack in idle.stacks) == pytest.approx(idle.cpu_s)
    assert idle.cpu_s < busy.cpu_s / 5  # of a CPU, by the kernel's own count


def test_every_sample_counts_once_for_each_thread() -> None:
    profile = profile_of()
    assert profile.ended_early
    assert profile.samples >= SAMPLES
    assert profile.cut == 0
    busy = told(profile, "busy")  # others may be there, of other tests, several of one name among them
    assert 0 < busy.wall_s <= profile.seconds + 1e-6
    assert 0 < sum(stack.samples for stack in busy.stacks) <= profile.samples


def test_threads_of_one_name_are_told_together() -> None:
    over = threading.Event()
    pair = [threading.Thread(target=wait_here, args=(over,), name="a pair") for _ in range(2)]
    try:
        profile = profile_of(*pair)
    finally:
        over.set()
        for thread in pair:
            thread.join()
    together = told(profile, "a pair")
    assert [thread.name for thread in profile.threads].count("a pair") == 1
    assert profile.seconds < together.wall_s <= 2 * profile.seconds + 1e-6


def test_it_ends_by_itself_after_its_time() -> None:
    profile = Sampler(None).run(0.1, threading.Event())
    assert not profile.ended_early
    assert profile.seconds >= 0.1
    assert profile.samples >= 2


def test_its_own_thread_is_in_no_graph() -> None:
    profile = profile_of()
    assert all(not through(thread, "Sampler.run") for thread in profile.threads)


def test_threads_are_called_what_they_are_for() -> None:
    over = threading.Event()
    pool = threading.Thread(target=wait_here, args=(over,), name="asyncio_3")
    other = threading.Thread(target=wait_here, args=(over,), name="shoes/2 instance 0")
    pool.start()
    other.start()
    try:
        names = {name for name, _ in python_threads(threading.get_ident()).values()}
    finally:
        over.set()
        pool.join()
        other.join()
    assert {"event loop", "pool thread 3", "shoes/2 instance 0"} <= names


def test_a_thread_that_ended_meanwhile_is_told() -> None:
    sampler = Sampler(None)
    short = threading.Thread(target=spin_here, args=(lambda: sampler._samples >= 3,), name="short")
    profile = profile_of(short, sampler=sampler)
    short.join()
    assert through(told(profile, "short"), "spin_here")


def test_different_stacks_are_bounded_and_their_time_is_still_counted() -> None:
    over = threading.Event()
    try:  # two threads: on a busy machine one may be met in the same stack each time
        profile = profile_of(threading.Thread(target=wait_here, args=(over,)), sampler=Sampler(None, max_stacks=1))
    finally:
        over.set()
    stacks = [stack for thread in profile.threads for stack in thread.stacks if stack.samples]
    assert profile.cut > 0
    assert any(stack.frames == (NOT_KEPT,) for stack in stacks)
    assert sum(stack.frames != (NOT_KEPT,) for stack in stacks) == 1
    assert told(profile, "busy").wall_s > 0


def test_deep_calls_keep_their_innermost_part() -> None:
    over, deep = threading.Event(), threading.Event()

    def descend(levels: int) -> None:
        if levels:
            descend(levels - 1)
        else:
            deep.set()
            wait_here(over)

    thread = threading.Thread(target=descend, args=(MAX_DEPTH + 50,), name="deep")
    thread.start()
    deep.wait(PATIENCE_S)
    try:
        profile = Sampler(None).run(0.1, threading.Event())
    finally:
        over.set()
        thread.join()
    stack = max(told(profile, "deep").stacks, key=lambda stack: stack.wall_s)
    assert stack.frames[0] == DEEPER
    assert len(stack.frames) == MAX_DEPTH + 1
    assert "wait_here" in {frame.name for frame in stack.frames[-5:]}


@on_linux
def test_the_clock_of_a_thread_is_the_kernel_s() -> None:
    before_s = time.thread_time()
    told_s = cpu_s(threading.get_native_id())
    assert told_s is not None
    assert before_s <= told_s <= time.thread_time()
    assert cpu_s(None) is None
    assert cpu_s(2**22) is None, "no thread has such a number"


@on_linux
def test_every_thread_of_the_process_is_either_python_s_or_another() -> None:
    own = threading.get_native_id()
    assert own in other_threads(set())
    assert own not in other_threads({own})


def test_files_are_named_as_they_are_imported() -> None:
    frames = {frame.name: frame for thread in profile_of().threads for stack in thread.stacks for frame in stack.frames}
    assert (frames["spin_here"].file, frames["spin_here"].line) == (
        "tests/server/profiling/threads_at_work.py",
        spin_here.__code__.co_firstlineno,
    )
    assert frames["Thread.run"].file == "threading.py"
    assert frames["Thread.run"].origin == "standard"
