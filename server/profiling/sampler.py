"""A sampling profiler of the own process.

The idea. A thread wakes 97 times a second and asks the interpreter for the present
stack of every thread (``sys._current_frames``). Then it looks twice, 0.3 ms apart, at
the CPU time of each: one whose time moved was running there, one whose time stood
still was waiting. The time since the last sample is added to the stack as wall time,
and the running share of it as CPU time; at the end those shares are scaled to what the
thread spent in all, which is known exactly. (What a thread spent since the last sample
would not do: one that works for a millisecond and sleeps for nine is nearly always
met asleep, and its work would be told of its sleep.) A thread in a native call that
let go of the interpreter, as an engine does, runs; one that waits for work does not.
97 and not 100: what happens a hundred times a second would otherwise always be met at
the same point.

Why not a library. py-spy and austin read the process from outside: they need the
right to trace it, which containers take away, and a program beside the server.
pyinstrument sees one thread, yappi slows every call down and draws no flame graph.
None tells of each stack of each thread how much of it was waiting.

What it costs: 0.2 to 0.3 ms of CPU a sample with a handful of threads, for about a
third of which no other Python runs; each profile says what its own sampling took.
What it does not see: a thread keeps the interpreter for up to 5 ms, so a sample may
come that much late, and falls where the interpreter may change hands. Functions of
native code have no frames; their time is their caller's.

Memory is bounded: ``MAX_STACKS`` different stacks of ``MAX_DEPTH`` calls; what comes
beyond is counted under its thread alone.
"""

import sys
import threading
import time
from dataclasses import dataclass, field
from types import CodeType, FrameType

from server.profiling.profile import Frame, Places, Profile, Stack, ThreadProfile
from server.profiling.threads import cpu_s, other_threads, python_threads

RATE_HZ = 97.0
LOOK_S = 0.0003
MAX_STACKS = 5000
MAX_DEPTH = 200

CUT = (0,)  # the stack of samples whose own is not kept
NATIVE = Frame("native code, no Python", "", 0, "other")
NOT_KEPT = Frame("stacks beyond those that are kept", "", 0, "other")
UNMET = Frame("ran, but between samples", "", 0, "other")
DEEPER = Frame("calls beyond those that are kept", "", 0, "other")


@dataclass(slots=True)
class _Watched:
    """One thread, while it is sampled."""

    name: str
    native_id: int | None
    seen_s: float
    first_cpu_s: float | None
    cpu_s: float | None
    stacks: dict[tuple[int, ...], list[float]] = field(default_factory=dict)  # → wall s, CPU s, samples

    @property
    def spent_s(self) -> float | None:
        """Seconds on a CPU since it was met: exact."""
        return None if self.cpu_s is None or self.first_cpu_s is None else self.cpu_s - self.first_cpu_s

    def was_met_running(self) -> bool:
        """Whether any sample found it on a CPU."""
        return any(times[1] for times in self.stacks.values())

    def correction(self) -> float:
        """What makes the samples' CPU time add up to the exact one."""
        seen_s = sum(times[1] for times in self.stacks.values())
        return (self.spent_s or 0.0) / seen_s if seen_s else 0.0


class Sampler:
    """One profile being taken, on the thread that calls ``run``. ``loop_ident``: the thread with the event loop."""

    def __init__(self, loop_ident: int | None, max_stacks: int = MAX_STACKS) -> None:
        self._loop_ident = loop_ident
        self._max_stacks = max_stacks
        self._watched: dict[int, _Watched] = {}
        self._ended: list[_Watched] = []
        self._codes: dict[int, CodeType] = {}  # by id; kept, so that an id stays that of its function
        self._stacks = self._samples = self._cut = 0

    def run(self, seconds: float, over: threading.Event) -> Profile:
        """Sample for so long, or until it is ``over``."""
        started_s, started_cpu_s, own_s = time.monotonic(), time.process_time(), time.thread_time()
        own = threading.get_ident()
        native = {number: cpu_s(number) for number in other_threads(self._native_ids())}
        early = False
        self._sample(own)
        while (left_s := started_s + seconds - time.monotonic()) > 0.0 and not early:
            early = over.wait(min(1 / RATE_HZ, left_s))
            self._sample(own)
        return Profile(
            threads=[*self._python_profiles(), *self._native_profiles(native)],
            seconds=time.monotonic() - started_s,
            samples=self._samples,
            knows_cpu=cpu_s(threading.get_native_id()) is not None,
            process_cpu_s=time.process_time() - started_cpu_s,
            sampler_cpu_s=time.thread_time() - own_s,
            cut=self._cut,
            ended_early=early,
        )

    def _native_ids(self) -> set[int | None]:
        return {native_id for _, native_id in python_threads(self._loop_ident).values()}

    def _sample(self, own: int) -> None:
        now_s = time.monotonic()
        stacks = self._present_stacks(own, now_s)
        looked_s = time.monotonic()
        before = {ident: cpu_s(self._watched[ident].native_id) for ident in stacks}
        time.sleep(LOOK_S)
        for ident, stack in stacks.items():
            watched = self._watched[ident]
            passed_s, watched.seen_s = now_s - watched.seen_s, now_s
            was_s, is_s = before[ident], cpu_s(watched.native_id)
            share = 0.0
            if was_s is not None and is_s is not None:
                share = min(1.0, max(0.0, is_s - was_s) / (time.monotonic() - looked_s))
                watched.cpu_s = is_s
            if passed_s > 0.0:
                self._add(watched, stack, passed_s, share * passed_s)
        self._samples += 1

    def _present_stacks(self, own: int, now_s: float) -> dict[int, tuple[int, ...]]:
        """By thread. No frame outlives this call: it would keep what its function holds."""
        frames = sys._current_frames()
        frames.pop(own, None)
        if frames.keys() != self._watched.keys():
            self._meet(frames, now_s)
        return {ident: self._stack(frame) for ident, frame in frames.items()}

    def _meet(self, frames: dict[int, FrameType], now_s: float) -> None:
        """Threads came or went."""
        known = python_threads(self._loop_ident)
        for ident in self._watched.keys() - frames.keys():
            self._ended.append(self._watched.pop(ident))
        for ident in frames.keys() - self._watched.keys():
            name, native_id = known.get(ident, ("a thread unknown to Python", None))
            spent_s = cpu_s(native_id)
            self._watched[ident] = _Watched(name, native_id, now_s, spent_s, spent_s)

    def _stack(self, frame: FrameType | None) -> tuple[int, ...]:
        """Innermost first."""
        codes = self._codes
        stack: list[int] = []
        while frame is not None and len(stack) < MAX_DEPTH:
            code = frame.f_code
            key = id(code)
            if key not in codes:
                codes[key] = code
            stack.append(key)
            frame = frame.f_back
        if frame is not None:
            stack.append(0)
        return tuple(stack)

    def _add(self, watched: _Watched, stack: tuple[int, ...], wall_s: float, spent_s: float) -> None:
        times = watched.stacks.get(stack)
        if times is None:
            if self._stacks >= self._max_stacks:
                self._cut += 1
                stack = CUT
            self._stacks += stack is not CUT
            times = watched.stacks.setdefault(stack, [0.0, 0.0, 0.0])
        times[0] += wall_s
        times[1] += spent_s
        times[2] += 1.0

    def _python_profiles(self) -> list[ThreadProfile]:
        """Threads of one name are told together: those of a pool come and go."""
        named = Places(sys.path).frame
        frame_of = {0: DEEPER, **{key: named(code) for key, code in self._codes.items()}}
        told: dict[str, ThreadProfile] = {}
        for watched in [*self._watched.values(), *self._ended]:
            thread = told.setdefault(watched.name, ThreadProfile(watched.name, [], None))
            for key, (wall_s, spent_s, samples) in watched.stacks.items():
                frames = (NOT_KEPT,) if key == CUT else tuple(frame_of[code] for code in reversed(key))
                thread.stacks.append(Stack(frames, wall_s, spent_s * watched.correction(), int(samples)))
            if watched.spent_s is not None:
                thread.cpu_s = (thread.cpu_s or 0.0) + watched.spent_s
                if not watched.was_met_running() and watched.spent_s:
                    thread.stacks.append(Stack((UNMET,), 0.0, watched.spent_s))
        return list(told.values())

    def _native_profiles(self, before: dict[int, float | None]) -> list[ThreadProfile]:
        spent: dict[str, float] = {}
        for number, name in other_threads(self._native_ids()).items():
            then_s = cpu_s(number)
            if then_s is not None:
                spent[name] = spent.get(name, 0.0) + max(0.0, then_s - (before.get(number) or 0.0))
        return [
            ThreadProfile(f"native threads {name}", [Stack((NATIVE,), seconds, seconds)], seconds)
            for name, seconds in spent.items()
            if seconds > 0.0
        ]
