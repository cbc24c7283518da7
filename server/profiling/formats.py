"""A profile for tools: folded stacks, speedscope's format, and plain JSON.

Folded stacks are lines of ``thread;outer;inner 1234``, here with microseconds, as flamegraph.pl, inferno and
speedscope read them. Speedscope's own format has every thread twice: its CPU time, and wall time.
"""

from collections.abc import Iterator
from typing import Any, Literal

import orjson

from server.profiling.profile import Frame, Profile, Stack, ThreadProfile

View = Literal["cpu", "wall"]
Json = dict[str, Any]

SCHEMA = "https://www.speedscope.app/file-format-schema.json"
LEAST_S = 1e-6


def seconds_of(stack: Stack, view: View) -> float:
    """What a stack counts for."""
    return stack.cpu_s if view == "cpu" else stack.wall_s


def folded(profile: Profile, view: View) -> bytes:
    """One line for each stack that has time, the most first; microseconds."""
    lines: dict[str, float] = {}
    for thread in profile.threads:
        for stack in thread.stacks:
            path = ";".join(text.replace(";", ":") for text in (thread.name, *(frame.text for frame in stack.frames)))
            lines[path] = lines.get(path, 0.0) + seconds_of(stack, view)
    counted = sorted(lines.items(), key=lambda line: -line[1])
    return "".join(f"{path} {seconds * 1e6:.0f}\n" for path, seconds in counted if seconds >= LEAST_S).encode()


def as_json(profile: Profile) -> bytes:
    """All of it, by thread."""
    return orjson.dumps({**about(profile), "threads": [_thread(thread) for thread in profile.threads]})


def about(profile: Profile) -> Json:
    """How it was taken, and what that cost."""
    return {
        "seconds": round(profile.seconds, 3),
        "samples": profile.samples,
        "knows_cpu": profile.knows_cpu,
        "process_cpu_s": round(profile.process_cpu_s, 6),
        "sampler_cpu_s": round(profile.sampler_cpu_s, 6),
        "cut_samples": profile.cut,
        "ended_early": profile.ended_early,
    }


def _thread(thread: ThreadProfile) -> Json:
    return {
        "name": thread.name,
        "wall_s": round(thread.wall_s, 6),
        "cpu_s": None if thread.cpu_s is None else round(thread.cpu_s, 6),
        "stacks": [
            {
                "frames": [{"name": frame.name, "file": frame.file, "line": frame.line} for frame in stack.frames],
                "wall_s": round(stack.wall_s, 6),
                "cpu_s": round(stack.cpu_s, 6),
                "samples": stack.samples,
            }
            for stack in thread.stacks
        ],
    }


def speedscope(profile: Profile) -> bytes:
    """For speedscope. The order of the samples is not that in time."""
    numbers: dict[Frame, int] = {}
    views: tuple[View, ...] = ("cpu", "wall") if profile.knows_cpu else ("wall",)
    profiles = [told for view in views for thread in profile.threads for told in _sampled(thread, view, numbers)]
    frames = [{"name": frame.name, "file": frame.file, "line": frame.line} for frame in numbers]
    document = {
        "$schema": SCHEMA,
        "name": f"quickeye, {profile.seconds:.1f} s",
        "exporter": "quickeye",
        "shared": {"frames": frames},
        "profiles": profiles,
    }
    return orjson.dumps(document)


def _sampled(thread: ThreadProfile, view: View, numbers: dict[Frame, int]) -> Iterator[Json]:
    stacks = [stack for stack in thread.stacks if seconds_of(stack, view) >= LEAST_S]
    if stacks:
        weights = [seconds_of(stack, view) for stack in stacks]
        yield {
            "type": "sampled",
            "name": f"{thread.name}, {'CPU' if view == 'cpu' else 'wall'} time",
            "unit": "seconds",
            "startValue": 0,
            "endValue": sum(weights),
            "samples": [[numbers.setdefault(frame, len(numbers)) for frame in stack.frames] for stack in stacks],
            "weights": weights,
        }
