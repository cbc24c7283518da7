"""What a sampler found: for each thread, its stacks, and the time seen in each."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import CodeType
from typing import Literal

Origin = Literal["ours", "package", "standard", "other"]

HOME = Path(__file__).parents[2]  # the checkout, or the site-packages that this is installed in
OURS = ("server/", "model_zoo/", "optimize/", "quickeye.py")


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
    """Names files as they are imported: ``server/batcher.py``, ``uvicorn/server.py``, ``asyncio/events.py``.

    Args:
        path: the folders that modules are imported from, as ``sys.path``.
        home: where this project lies. An editable install is found by a hook, so it need not be in ``path``.
    """

    def __init__(self, path: Iterable[str], home: Path = HOME) -> None:
        self._home = f"{home}/"
        roots = {self._home, *(str(Path(entry).resolve()) + "/" for entry in path if entry)}
        self._roots = sorted(roots, key=len, reverse=True)

    def frame(self, code: CodeType) -> Frame:
        """A function's frame."""
        file = code.co_filename
        for root in self._roots:
            if file.startswith(root):
                return Frame(code.co_qualname, file[len(root) :], code.co_firstlineno, self._origin(file, root))
        origin: Origin = "standard" if file.startswith("<frozen ") else "other"
        return Frame(code.co_qualname, Path(file).name, code.co_firstlineno, origin)

    def _origin(self, file: str, root: str) -> Origin:
        if root == self._home and file.removeprefix(root).startswith(OURS):
            return "ours"
        return "package" if "site-packages/" in root or "dist-packages/" in root else "standard"
