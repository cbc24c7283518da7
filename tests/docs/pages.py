"""The documents as data: pages, fenced examples, commands, links, headings."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "deploy").glob("*.md")))
RUN_BY_TEST = "run-by-test"

_FENCE = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)|<(https?://[^>\s]+)>")
_HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Example:
    """One fenced block: its language and the words after it, its text, and where it stands."""

    page: Path
    line: int
    language: str
    marks: tuple[str, ...]
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def commands(self) -> list[str]:
        """The lines of a console that a person types."""
        return [line.removeprefix("$ ") for line in self.text.splitlines() if line.startswith("$ ")]


def examples(*languages: str) -> list[Example]:
    """Every fenced block in one of these languages, in the order of the pages."""
    return [example for page in PAGES for example in on_page(page) if example.language in languages]


def on_page(page: Path) -> Iterator[Example]:
    """The fenced blocks of one page."""
    text = page.read_text(encoding="utf-8")
    for found in _FENCE.finditer(text):
        language, *marks = found["info"].split() or [""]
        yield Example(page, text.count("\n", 0, found.start()) + 1, language, tuple(marks), found["text"])


def links(page: Path) -> list[str]:
    """The targets of a page's links, examples left out."""
    prose = _FENCE.sub("", page.read_text(encoding="utf-8"))
    return [inline or address for inline, address in _LINK.findall(prose)]


def anchors(page: Path) -> set[str]:
    """What ``page.md#…`` may name: headings as GitHub spells them."""
    prose = _FENCE.sub("", page.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w\- ]", "", title.strip().lower()).replace(" ", "-") for title in _HEADING.findall(prose)}


def text_of(name: str) -> str:
    """A page of docs/, or the README, by its file name."""
    return next(page for page in PAGES if page.name == name).read_text(encoding="utf-8")


def rows(name: str) -> list[list[str]]:
    """The cells of every table row of a page."""
    lines = [line for line in text_of(name).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip("|"))] for line in lines]
