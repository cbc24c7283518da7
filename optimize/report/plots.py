"""Line plots as SVG that lives inside a page: its fonts and its colours, light or dark.

Matplotlib draws with stand-in colours; each becomes one of the page's CSS variables. Text
stays text, and only our own words are drawn: names from strangers are HTML's affair.
"""

import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from optimize.judging.judgement import Curve, Reliability

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Stand-in → variable of style.css. No two may be equal, and none may be a colour that matplotlib uses by itself.
INK = {
    "#010203": "var(--text)",
    "#010204": "var(--muted)",
    "#010205": "var(--line)",
    "#010206": "var(--one)",
    "#010207": "var(--two)",
    "#010208": "var(--three)",
    "#010209": "var(--sunk)",
}
TEXT, MUTED, LINE, ONE, TWO, THREE, SUNK = INK
SIZE_IN = (5.2, 3.2)
SQUARE_IN = (4.2, 3.9)

STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": TEXT,
    "text.parse_math": False,
    "axes.edgecolor": LINE,
    "axes.labelcolor": MUTED,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": LINE,
    "grid.linewidth": 0.7,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "legend.frameon": False,
    "legend.labelcolor": TEXT,
    "lines.linewidth": 1.8,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
}


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a learning curve: values by epoch, None where there is none."""

    name: str
    values: Sequence[float | None]
    colour: str


def learning_curve(name: str, label: str, lines: Sequence[Line], *, percent: bool = False, log: bool = False) -> str:
    """Values over epochs; ``name`` is the plot's own among those of a page."""
    from matplotlib.ticker import MaxNLocator

    def draw(axes: "Axes") -> None:
        for line in lines:
            points = [(epoch, value) for epoch, value in enumerate(line.values, 1) if value is not None]
            scale = 100 if percent else 1
            marker = "o" if len(points) <= 12 else None
            axes.plot(
                [epoch for epoch, _ in points],
                [scale * value for _, value in points],
                color=line.colour,
                label=line.name,
                marker=marker,
                markersize=3.5,
            )
        axes.set_xlabel("epoch")
        axes.set_ylabel(label)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if log:
            axes.set_yscale("log")
        if len(lines) > 1:
            axes.legend(loc="best")

    return _svg(name, draw)


def curves(name: str, x: str, y: str, lines: Sequence[Curve], *, diagonal: bool) -> str:
    """The macro curve over those of the classes, which are drawn thin and nameless."""

    def draw(axes: "Axes") -> None:
        if diagonal:
            axes.plot([0, 1], [0, 1], color=MUTED, linestyle=(0, (3, 3)), linewidth=1, label="chance")
        for place, line in enumerate(lines[1:]):
            axes.plot(line.x, line.y, color=MUTED, linewidth=0.9, alpha=0.45, label="a class" if place == 0 else None)
        axes.plot(lines[0].x, lines[0].y, color=ONE, linewidth=2.4, label="mean of the classes")
        _unit_square(axes, x, y)
        axes.legend(loc="lower right" if diagonal else "lower left")

    return _svg(name, draw, SQUARE_IN)


def reliability(name: str, before: Reliability, after: Reliability | None) -> str:
    """How often right, by how sure; the bars say where the pictures are."""
    from matplotlib.collections import PathCollection

    def draw(axes: "Axes") -> None:
        total = sum(one.n for one in before.bins)
        for one in before.bins:
            axes.bar(
                one.low, one.n / total, one.high - one.low, align="edge", color=SUNK, edgecolor=LINE, linewidth=0.7
            )
        axes.plot([0, 1], [0, 1], color=MUTED, linestyle=(0, (3, 3)), linewidth=1, label="honest")
        pairs = [("as it is", before, ONE)] + ([("with temperature", after, TWO)] if after else [])
        for label, reliability_of, colour in pairs:
            bins = reliability_of.bins
            x, y = [one.confidence for one in bins], [one.accuracy for one in bins]
            axes.plot(x, y, color=colour, linewidth=1, alpha=0.6)
            axes.scatter(x, y, s=[6 + 260 * one.n / total for one in bins], color=colour, linewidths=0, label=label)
        # The legend's points are of one size, whatever the first bin's is.
        for handle in axes.legend(loc="upper left", scatterpoints=1).legend_handles:
            if isinstance(handle, PathCollection):
                handle.set_sizes([30])
        _unit_square(axes, "how sure (mean in each bin)", "how often right")

    return _svg(name, draw, SQUARE_IN)


def severity_lines(name: str, lines: Mapping[str, Sequence[tuple[int, float]]], clean: float) -> str:
    """Mean top-1 over the corruptions by severity, with each corruption thin behind it."""

    def draw(axes: "Axes") -> None:
        severities = sorted({severity for points in lines.values() for severity, _ in points})
        for place, points in enumerate(lines.values()):
            axes.plot(
                [0, *(severity for severity, _ in points)],
                [100 * clean, *(100 * value for _, value in points)],
                color=MUTED,
                linewidth=0.9,
                alpha=0.45,
                label="a corruption" if place == 0 else None,
            )
        means = [
            sum(value for points in lines.values() for at, value in points if at == severity)
            / sum(1 for points in lines.values() for at, _ in points if at == severity)
            for severity in severities
        ]
        axes.plot([0, *severities], [100 * clean, *(100 * value for value in means)], color=ONE, marker="o",
                  markersize=4, label="their mean")  # fmt: skip
        axes.set_xticks([0, *severities], ["none", *map(str, severities)])
        axes.set_xlabel("severity")
        axes.set_ylabel("top-1, %")
        axes.set_ylim(bottom=0)
        axes.legend(loc="lower left")

    return _svg(name, draw)


def _unit_square(axes: "Axes", x: str, y: str) -> None:
    axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel=x, ylabel=y, aspect="equal")


def _svg(name: str, draw: "Callable[[Axes], None]", size: tuple[float, float] = SIZE_IN) -> str:
    """Draw into a figure of its own; no window, no global figure."""
    import matplotlib
    from matplotlib.figure import Figure

    settings: Any = {**STYLE, "svg.hashsalt": name}
    with matplotlib.rc_context(settings):
        figure = Figure(figsize=size, layout="constrained")
        draw(figure.add_subplot())
        target = io.StringIO()
        figure.savefig(target, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return in_page(target.getvalue(), name, "plot" if size == SIZE_IN else "plot square")


def in_page(svg: str, name: str, classes: str = "plot") -> str:
    """Only the element, with the page's colours, ids of its own and no size of its own."""
    element = svg[svg.index("<svg") :]
    box = re.search(r'viewBox="[^"]*"', element)
    element = re.sub(r"<(metadata|style)\b.*?</\1>", "", element, flags=re.DOTALL)
    for stand_in, variable in INK.items():
        element = element.replace(stand_in, variable)
    element = re.sub(r'(\bid="|"#|url\(#)', rf"\g<1>{name}-", element)
    element = re.sub(r" font-family: [^;\"]*;?", "", element).replace("xlink:href", "href")
    opening = f'<svg class="{classes}" role="img" aria-label="{name}" {box[0] if box else ""}>'
    return re.sub(r"<svg [^>]*>", opening, element, count=1)
