"""A profile as a page: one file, nothing fetched, under a policy that lets nothing else run."""

import base64
import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from server.profiling.formats import View, about
from server.profiling.profile import Frame, Profile, Stack

FOLDER = Path(__file__).parent
STYLE, SCRIPT, PAGE = ((FOLDER / f"flame_graph.{kind}").read_text(encoding="utf-8") for kind in ("css", "js", "html"))


def _hashed(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


POLICY = (
    f"default-src 'none'; script-src {_hashed(SCRIPT)}; style-src {_hashed(STYLE)}; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@dataclass(slots=True)
class _Node:
    """One frame below one path of calls, with all that was called from it."""

    frame: Frame
    wall_s: float = 0.0
    cpu_s: float = 0.0
    samples: int = 0
    children: "dict[Frame, _Node]" = field(default_factory=dict)

    def add(self, stack: Stack) -> None:
        self.wall_s += stack.wall_s
        self.cpu_s += stack.cpu_s
        self.samples += stack.samples


def page(profile: Profile, view: View) -> bytes:
    """The flame graph, showing ``view`` first, or wall time where nothing else is known."""
    root = _Node(Frame("all threads", "", 0, "other"))
    for thread in profile.threads:
        for stack in thread.stacks:
            _grow(root, (Frame(thread.name, "", 0, "other"), *stack.frames), stack)
    numbers: dict[Frame, int] = {}
    tree = _packed(root, numbers)
    data = {
        "about": {**about(profile), "view": view if profile.knows_cpu else "wall"},
        "frames": [[frame.name, frame.file, frame.line, frame.origin] for frame in numbers],
        "tree": tree,
    }
    inert = orjson.dumps(data).decode().replace("<", "\\u003c")  # no name of a function ends the element it stands in
    return PAGE.replace("/*style*/", STYLE).replace("/*script*/", SCRIPT).replace("/*data*/", inert).encode()


def _grow(root: _Node, path: tuple[Frame, ...], stack: Stack) -> None:
    node = root
    node.add(stack)
    for frame in path:
        node = node.children.setdefault(frame, _Node(frame))
        node.add(stack)


def _packed(node: _Node, numbers: dict[Frame, int]) -> list[Any]:
    """[frame, wall µs, CPU µs, samples, children]: arrays take half of what objects would."""
    number = numbers.setdefault(node.frame, len(numbers))
    children = [_packed(child, numbers) for child in node.children.values()]
    return [number, round(node.wall_s * 1e6), round(node.cpu_s * 1e6), node.samples, children]
