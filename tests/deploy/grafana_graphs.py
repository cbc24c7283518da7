"""Draws a panel's values over time: lines, stacked areas, heat-maps."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, Locator, MaxNLocator, MultipleLocator
from numpy.typing import NDArray

from tests.deploy.grafana_queries import Json
from tests.deploy.grafana_shapes import (
    COLOURS,
    FAINT,
    HEAT,
    INK,
    MOST_ROWS,
    ROW_PX,
    SERIES,
    TITLE_PX,
    Box,
    Line,
    figure_of,
)
from tests.deploy.grafana_units import shown


def draw_graph(figure: Figure, frame: Axes, box: Box, panel: Json, lines: Sequence[Line]) -> None:
    """Lines, or areas on top of each other, with their legend below."""
    rows = min(len(lines), MOST_ROWS)
    axes = box.inside(62, TITLE_PX + 4, 14, rows * ROW_PX + 44).axes(figure)
    defaults = panel["fieldConfig"]["defaults"]
    stacked = defaults["custom"]["stacking"]["mode"] == "normal"
    _draw_lines(axes, lines, stacked=stacked)
    top = max(_highest(line) for line in lines if not math.isnan(line.last))
    if "max" in defaults:
        axes.set_ylim(0, defaults["max"] * 1.02)
    elif not stacked:
        axes.set_ylim(0, top * 1.08 if top > 0 else 1)
    for step in defaults["thresholds"]["steps"][1:]:
        if step["value"] <= axes.get_ylim()[1]:
            axes.axhline(step["value"], color=COLOURS[step["color"]], lw=1, ls="--")
    axes.margins(x=0)
    axes.yaxis.set_major_locator(_ticks(defaults, axes.get_ylim()[1]))
    _clock(axes)
    _plain(axes, panel)
    _legend(frame, box, panel, lines, rows)


def _ticks(defaults: Json, top: float) -> Locator:
    if defaults["unit"] == "bytes":
        return MultipleLocator(2.0 ** math.floor(math.log2(top / 3)))
    return MaxNLocator(4, integer=defaults.get("decimals") == 0)


def _draw_lines(axes: Axes, lines: Sequence[Line], *, stacked: bool) -> None:
    times, is_gap = _with_gaps(np.unique(np.concatenate([line.times for line in lines])))
    below = np.zeros(len(times))
    for at, line in enumerate(lines):
        colour = SERIES[at % len(SERIES)]
        values = np.full(len(times), np.nan)
        values[np.searchsorted(times, line.times)] = line.values
        if stacked:
            above = np.where(is_gap, np.nan, below + np.nan_to_num(values))
            axes.fill_between(times, below, above, color=colour, alpha=0.6, lw=0)
            axes.plot(times, above, color=colour, lw=1)
            below = above
            axes.set_ylim(0, max(1e-12, float(np.nanmax(above)) * 1.08))
        else:
            axes.plot(times, values, color=colour, lw=1.2)


def _with_gaps(times: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """A moment more wherever nothing is known for a while, so that no line goes through; and which those are."""
    steps = np.diff(times)
    gaps = times[:-1][steps > 1.5 * np.median(steps)] + np.median(steps) if len(times) > 1 else times[:0]
    every = np.sort(np.append(times, gaps))
    return every, np.isin(every, gaps)


def _highest(line: Line) -> float:
    return math.nan if math.isnan(line.last) else float(np.nanmax(line.values))


def _legend(frame: Axes, box: Box, panel: Json, lines: Sequence[Line], rows: int) -> None:
    top = box.height - rows * ROW_PX - 12
    left, last, most = 14, box.width - 92, box.width - 14
    for text, at in (("last", last), ("max", most)):
        frame.text(at, top - 2, text, size=7, color=FAINT, ha="right")
    for at, line in enumerate(lines[:rows]):
        y = top + (at + 1) * ROW_PX - 2
        name = line.name if at < rows - 1 or len(lines) == rows else f"… and {len(lines) - rows + 1} more"
        frame.plot([left, left + 12], [y - 4, y - 4], color=SERIES[at % len(SERIES)], lw=2.5)
        frame.text(left + 18, y, name, size=7.5, color=INK)
        if not name.startswith("…"):
            for value, x in ((line.last, last), (_highest(line), most)):
                frame.text(x, y, figure_of(panel, value), size=7.5, color=INK, ha="right")


def draw_heat(figure: Figure, frame: Axes, box: Box, panel: Json, lines: Sequence[Line]) -> None:
    """How many values fell into each bucket, from buckets that count everything up to their bound."""
    rising = sorted(lines, key=lambda line: float(line.labels["le"]))
    times = np.unique(np.concatenate([line.times for line in rising]))
    up_to = np.zeros((len(rising), len(times)))
    for at, line in enumerate(rising):
        up_to[at, np.searchsorted(times, line.times)] = np.nan_to_num(line.values)
    within = np.clip(np.diff(up_to, axis=0, prepend=0), 0, None)
    used = np.flatnonzero(within.sum(axis=1) > 1e-9)
    first, last = (max(0, used[0] - 1), min(len(rising), used[-1] + 2)) if len(used) else (0, len(rising))
    axes = box.inside(62, TITLE_PX + 4, 14, 40).axes(figure)
    shades = np.ma.masked_less_equal(within[first:last], 1e-9)
    edges = np.append(times, 2 * times[-1] - times[-2])
    axes.pcolormesh(edges, np.arange(last - first + 1), np.sqrt(shades), cmap=HEAT, vmin=0)
    unit = panel["fieldConfig"]["defaults"]["unit"]
    bounds = [float(line.labels["le"]) for line in rising[first:last]]
    _clock(axes)
    _plain(axes, panel)
    axes.set_yticks(np.arange(len(bounds)) + 1, ["∞" if math.isinf(bound) else shown(bound, unit) for bound in bounds])
    frame.text(62, box.height - 10, "darker: more; each row up to the bound at its upper edge", size=7, color=FAINT)


def _clock(axes: Axes) -> None:
    start = axes.get_xlim()[0]
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda at, _: f"{int(at - start) // 60}:{int(at - start) % 60:02d}"))


def _plain(axes: Axes, panel: Json) -> None:
    axes.tick_params(labelsize=7.5, colors=FAINT, length=0)
    axes.spines[:].set_visible(False)
    axes.grid(color="#eceef0", lw=0.8)
    axes.set_axisbelow(True)
    axes.yaxis.set_major_formatter(
        FuncFormatter(lambda value, _: shown(value, panel["fieldConfig"]["defaults"]["unit"]))
    )
