"""How many cores may be used, and how a model's instances share them.

A container sees all the machine's cores, but its quota lets it run only some of
them: asking the operating system for a count is then wrong by far, and threads
beyond the quota make every answer late, because the kernel stops all of them
until the next period begins. So: the smallest of the affinity mask and every
CPU quota above us (cgroup v2 ``cpu.max``, v1 ``cpu.cfs_quota_us``).

Instances before threads: two instances of one thread each answer more pictures
per second than one instance of two threads, since nothing waits for the slower
half of a layer (``quickeye benchmark`` shows both here).
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

CGROUP_ROOT = Path("/sys/fs/cgroup")
PROC_CGROUP = Path("/proc/self/cgroup")
MAX_INSTANCES = 8


@dataclass(frozen=True, slots=True)
class ThreadPlan:
    """``instances`` of a model side by side, each with ``threads`` inside one run."""

    instances: int
    threads: int

    def __str__(self) -> str:
        return f"{self.instances}x{self.threads}"


def available_cores(
    *, affinity: int | None = None, cgroup_root: Path = CGROUP_ROOT, proc_cgroup: Path = PROC_CGROUP
) -> int:
    """The cores that this process may keep busy, at least 1; a fraction of a core is not counted.

    Args:
        affinity: cores of the affinity mask; None asks the system.
        cgroup_root: where the cgroup file systems are mounted.
        proc_cgroup: which cgroups this process is in.
    """
    cores = _affinity() if affinity is None else affinity
    quotas = list(_quotas(cgroup_root, proc_cgroup))
    return max(1, int(min([float(cores), *quotas])))


def plan_threads(cores: int, *, max_instances: int = MAX_INSTANCES) -> ThreadPlan:
    """Spread ``cores``: an instance per core up to ``max_instances``, beyond that more threads in each.

    Raises:
        ValueError: a count below 1.
    """
    if cores < 1 or max_instances < 1:
        raise ValueError(f"a plan needs at least one core and one instance, not {cores} and {max_instances}")
    instances = min(cores, max_instances)
    return ThreadPlan(instances, cores // instances)


def candidate_plans(cores: int) -> list[ThreadPlan]:
    """The plans worth measuring on ``cores``: all of them busy, in instances of 1, 2, 4 … threads.

    Raises:
        ValueError: fewer than one core.
    """
    plans = [plan_threads(cores)]
    threads = 1
    while threads <= cores:
        plans.append(ThreadPlan(max(1, min(cores // threads, MAX_INSTANCES)), threads))
        threads *= 2
    plans.append(ThreadPlan(1, cores))
    return list(dict.fromkeys(plans))


def _affinity() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _quotas(root: Path, proc_cgroup: Path) -> Iterator[float]:
    """Every CPU quota above this process, in cores."""
    for controllers, path in _memberships(proc_cgroup):
        if not controllers:
            for folder in _with_parents(root, path):
                yield from _quota_v2(folder)
        elif "cpu" in controllers.split(","):
            for mount in dict.fromkeys((root / controllers, root / "cpu")):
                for folder in _with_parents(mount, path):
                    yield from _quota_v1(folder)


def _memberships(proc_cgroup: Path) -> Iterator[tuple[str, str]]:
    """(controllers, path) per line of ``/proc/self/cgroup``; version 2 has no controllers there."""
    for line in _read(proc_cgroup).splitlines():
        parts = line.split(":", 2)
        if len(parts) == 3:
            yield parts[1], parts[2]


def _with_parents(mount: Path, path: str) -> Iterator[Path]:
    """The group's folder and all above it; inside a container the path may not exist, the mount itself does."""
    inside = PurePosixPath(path.lstrip("/"))
    if ".." not in inside.parts:
        for part in (inside, *inside.parents):
            yield mount / part
    else:
        yield mount


def _quota_v2(folder: Path) -> Iterator[float]:
    """``cpu.max`` holds "QUOTA PERIOD" in µs, or "max PERIOD"."""
    yield from _ratio(_read(folder / "cpu.max").split())


def _quota_v1(folder: Path) -> Iterator[float]:
    """The quota is −1 where there is none."""
    yield from _ratio([_read(folder / "cpu.cfs_quota_us").strip(), _read(folder / "cpu.cfs_period_us").strip()])


def _ratio(words: list[str]) -> Iterator[float]:
    if len(words) == 2 and all(word.isdecimal() for word in words) and int(words[0]) and int(words[1]):
        yield int(words[0]) / int(words[1])


def _read(path: Path) -> str:
    """A small file of the kernel's; empty where there is none."""
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
