"""What a sampler found: for each thread, its stacks, and the time seen in each."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import CodeType
from typing import Literal

Origin = Literal["ours", "package", "standard", "other"]

OURS = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Frame:
    """One function. ``file`` is relative to where it was imported from; ``line`` is the function's first."""

    name: str
    file: str
    line: int
    origin: Origin

    @property
    def text(self) -> str:
        """One line for people."""
        return f"{self.name} ({self.file}:{self.line})" if self.file else self.name


@dataclass(slots=True)
class Stack:
    """A path of calls, outermost first, and the seconds in which its thread was seen there.

    ``cpu_s`` is how long its thread was on a CPU there, by samples. The rest it waited: for work, a lock, the
    interpreter, a core, a disk.
    """

    frames: tuple[Frame, ...]
    wall_s: float = 0.0
    cpu_s: float = 0.0
    samples: int = 0


@dataclass(slots=True)
class ThreadProfile:
    """One thread, or several of one name. ``cpu_s`` is exact, the stacks' add up to it; None: not known.

    Threads that no Python runs in have one stack without a function, and as much wall time as CPU time: how they
    wait is not seen.
    """

    name: str
    stacks: list[Stack]
    cpu_s: float | None

    @property
    def wall_s(self) -> float:
        """Seconds in which it was watched."""
        return sum(stack.wall_s for stack in self.stacks)


@dataclass(slots=True)
class Profile:
    """All threads, and what it cost to watch them.

    ``knows_cpu`` False: this system does not tell the CPU time of threads, and every stack's ``cpu_s`` is 0.
    ``sampler_cpu_s`` is what sampling itself took; its thread is in no graph. ``cut``: samples whose stack was kept no
    more, because there were too many different ones.
    """

    threads: list[ThreadProfile]
    seconds: float
    samples: int
    knows_cpu: bool
    process_cpu_s: float
    sampler_cpu_s: float
    cut: int
    ended_early: bool


class Places:
    """Names files as they are imported: ``server/batcher.py``, ``uvicorn/server.py``, ``asyncio/events.py``."""

    def __init__(self, path: Iterable[str]) -> None:
        roots = {str(Path(entry).resolve()) + "/" for entry in path if entry}
        self._roots = sorted(roots, key=len, reverse=True)

    def frame(self, code: CodeType) -> Frame:
        """A function's frame."""
        file = code.co_filename
        for root in self._roots:
            if file.startswith(root):
                return Frame(code.co_qualname, file[len(root) :], code.co_firstlineno, _origin(file, root))
        origin: Origin = "standard" if file.startswith("<frozen ") else "other"
        return Frame(code.co_qualname, Path(file).name, code.co_firstlineno, origin)


def _origin(file: str, root: str) -> Origin:
    if "site-packages/" in root or "dist-packages/" in root:
        return "package"
    return "ours" if Path(root) == OURS and not file.startswith(str(OURS / "tests")) else "standard"
