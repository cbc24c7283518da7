"""Draws one panel with matplotlib, from its JSON and what its queries gave: about what Grafana would show."""

import math
from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tests.deploy.grafana_graphs import draw_graph, draw_heat
from tests.deploy.grafana_queries import Json
from tests.deploy.grafana_shapes import (
    COLOURS,
    EDGE,
    FAINT,
    INK,
    PAPER,
    TITLE_PX,
    Box,
    Line,
    colour_of,
    figure_of,
)


def draw_panel(figure: Figure, box: Box, panel: Json, lines: Sequence[Line]) -> None:
    """The frame, the title and what is in it."""
    frame = box.axes(figure)
    frame.set_facecolor(PAPER)
    frame.set_xticks([])
    frame.set_yticks([])
    frame.spines[:].set_color(EDGE)
    frame.set_xlim(0, box.width)
    frame.set_ylim(box.height, 0)
    frame.text(10, 18, panel["title"], size=9, weight="bold", color=INK, va="baseline")
    if all(math.isnan(line.last) for line in lines):
        empty = panel["fieldConfig"]["defaults"]["noValue"]
        frame.text(box.width / 2, box.height / 2 + 8, empty, size=9, color=FAINT, ha="center", va="center")
        return
    kinds: dict[str, Callable[[Figure, Axes, Box, Json, Sequence[Line]], None]] = {
        "stat": _stat,
        "timeseries": draw_graph,
        "heatmap": draw_heat,
        "bargauge": _bars,
        "table": _table,
    }
    kinds[panel["type"]](figure, frame, box, panel, lines)


def _stat(figure: Figure, frame: Axes, box: Box, panel: Json, lines: Sequence[Line]) -> None:
    height = (box.height - TITLE_PX) / len(lines)
    for at, line in enumerate(lines):
        colour = colour_of(panel, line.last)
        middle = TITLE_PX + height * (at + 0.5)
        size = min(24.0, height * 0.45)
        if len(lines) > 1:
            frame.text(12, middle, line.name, size=9, color=INK, va="center")
            frame.text(
                box.width - 12, middle, figure_of(panel, line.last), size=size, color=colour, va="center", ha="right"
            )
        else:
            frame.text(
                box.width / 2, middle, figure_of(panel, line.last), size=size, color=colour, va="center", ha="center"
            )


def _bars(figure: Figure, frame: Axes, box: Box, panel: Json, lines: Sequence[Line]) -> None:
    rising = sorted(lines, key=lambda line: line.last, reverse=True)[:10]
    height = min(26.0, (box.height - TITLE_PX - 14) / len(rising))
    most = panel["fieldConfig"]["defaults"].get("max") or max(line.last for line in rising) or 1.0
    names = min(0.5 * box.width, 6 * max(len(line.name) for line in rising) + 22)
    room = box.width - names - 82
    for at, line in enumerate(rising):
        y = TITLE_PX + 8 + at * height
        frame.text(names - 6, y + height / 2, line.name, size=8, color=INK, va="center", ha="right")
        frame.barh(y + height / 2, room, height * 0.7, left=names, color="#eef0f2")
        frame.barh(y + height / 2, room * line.last / most, height * 0.7, left=names, color=colour_of(panel, line.last))
        figures = figure_of(panel, line.last)
        frame.text(box.width - 12, y + height / 2, figures, size=8.5, color=INK, va="center", ha="right")


def _table(figure: Figure, frame: Axes, box: Box, panel: Json, lines: Sequence[Line]) -> None:
    headings = panel["transformations"][0]["options"]["renameByName"]
    weights = np.array([max(len(h), *(len(line.labels.get(k, "")) for line in lines)) for k, h in headings.items()]) + 3
    edges = 12 + np.concatenate([[0], np.cumsum(weights)]) / weights.sum() * (box.width - 24)
    for x, (label, heading) in zip(edges, headings.items(), strict=False):
        frame.text(x, TITLE_PX + 20, heading, size=8.5, color=COLOURS["blue"])
        for at, line in enumerate(lines):
            frame.text(x, TITLE_PX + 44 + 22 * at, line.labels.get(label, ""), size=8.5, color=INK)
