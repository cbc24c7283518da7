"""``search.html``: one file, no network."""

from pathlib import Path
from typing import TYPE_CHECKING

from optimize.errors import MissingLibraryError
from optimize.training.durable import write_whole

if TYPE_CHECKING:
    from optimize.search.results import SearchResult

TEMPLATE = Path(__file__).parent / "search.html.jinja"
# One look for all reports.
STYLE = Path(__file__).parents[1] / "report" / "style.css"
# Lines and slices through fewer trials than this show nothing.
MIN_TO_DRAW = 2


def write_search_report(path: Path, result: "SearchResult") -> Path:
    """Write the page.

    Raises:
        RunError: the disk refused.
    """
    write_whole(path, render(result).encode())
    return path


def render(result: "SearchResult") -> str:
    """The page's text."""
    try:
        from jinja2 import Environment, StrictUndefined

        drawn = drawings(result)
    except ImportError as error:
        raise MissingLibraryError(f"a report needs {error.name}: pip install 'quickeye[optimize]'") from error
    from optimize.report.formats import printable

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=printable
    )
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        result=result,
        style=STYLE.read_text(encoding="utf-8"),
        fields=sorted({path for one in result.trials for path in one.parameters}),
        order=sorted(result.trials, key=lambda one: _rank(result, one.number)),
        drawings=drawn,
        counts=_counts(result),
    )


def drawings(result: "SearchResult") -> list[tuple[str, str, str]]:
    """(heading, what it shows, SVG) of what these trials give to see."""
    from optimize.search import plots

    done = plots.complete(result)
    found: list[tuple[str, str, str]] = []
    if len(done) >= MIN_TO_DRAW:
        found.append(("Course", "Each point is a trial; the line is the best until then.", plots.history(result)))
    if any(len(one.epochs) > 1 for one in result.trials):
        found.append(("Learning curves", "The best trial in colour; dashed: ended early.", plots.curves(result)))
    if len(result.objectives) > 1 and done:
        found.append(("Front", "On the line: trials that no other beats in both figures.", plots.front(result)))
    if result.importances:
        text = "How much of the objective's variation each field explains. Few trials make this a rough guess."
        found.append(("Which field matters", text, plots.importance(result)))
    if len(done) >= MIN_TO_DRAW and len({repr(one.parameters) for one in done}) > 1:
        found.append(("Each field by itself", "Coloured: the later half of the trials.", plots.slices(result)))
        found.append(("All fields together", "A line is a trial; the better, the darker.", plots.parallel(result)))
    return found


def _rank(result: "SearchResult", number: int) -> tuple[bool, float, int]:
    one = result.trial(number)
    sign = -1 if result.objectives[0] == "val_top1" else 1
    return one.state != "complete", sign * one.values[0] if one.values else 0.0, number


def _counts(result: "SearchResult") -> dict[str, int]:
    states = ("complete", "pruned", "failed", "running")
    return {state: n for state in states if (n := sum(one.state == state for one in result.trials))}
