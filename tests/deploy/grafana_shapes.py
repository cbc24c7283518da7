"""What the pictures of panels are made of: series, places on the page, colours, figures."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from numpy.typing import NDArray

from tests.deploy.grafana_queries import Json, legend
from tests.deploy.grafana_units import shown

PX = 100  # dots per inch, so that 0.01 inch is a pixel
INK, FAINT, PAPER, EDGE = "#24292e", "#6e7a85", "#ffffff", "#dcdfe3"
COLOURS = {"green": "#37872d", "yellow": "#c99700", "orange": "#fa6400", "red": "#c4162a", "blue": "#1f60c4"}
SERIES = ("#1f60c4", "#e0832b", "#56a64b", "#a352cc", "#c4162a", "#2aa7a7", "#b8a000", "#8a6d5b", "#e85e9b", "#6e7a85")
HEAT = LinearSegmentedColormap.from_list("heat", ["#fff5eb", "#fdae6b", "#e6550d", "#7f2704"])
TITLE_PX, ROW_PX, MOST_ROWS = 26, 15, 6


@dataclass(frozen=True, slots=True)
class Line:
    """One series of a panel."""

    name: str
    labels: dict[str, str]
    times: NDArray[np.float64]
    values: NDArray[np.float64]

    @property
    def last(self) -> float:
        """The last value that is one."""
        known = self.values[~np.isnan(self.values)]
        return float(known[-1]) if len(known) else math.nan


def lines_of(pattern: str, series: Sequence[Json]) -> list[Line]:
    """Prometheus's answer to one query as lines."""
    found = []
    for one in series:
        points = np.array([[float(at), float(value)] for at, value in one.get("values", [one.get("value")])])
        found.append(Line(legend(pattern, one["metric"]), one["metric"], points[:, 0], points[:, 1]))
    return sorted(found, key=lambda line: line.name)


@dataclass(frozen=True, slots=True)
class Box:
    """A panel's place on the page, in px from the top left."""

    left: float
    top: float
    width: float
    height: float

    def inside(self, left: float, top: float, right: float, bottom: float) -> "Box":
        """A smaller one, by margins."""
        return Box(self.left + left, self.top + top, self.width - left - right, self.height - top - bottom)

    def axes(self, figure: Figure) -> Axes:
        """Axes that fill it."""
        width, height = (float(inches) * PX for inches in figure.get_size_inches())
        bottom = (height - self.top - self.height) / height
        return figure.add_axes((self.left / width, bottom, self.width / width, self.height / height))


def colour_of(panel: Json, value: float) -> str:
    """The colour of the highest threshold that a value reaches."""
    steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
    reached = [step["color"] for step in steps if step["value"] is None or value >= step["value"]]
    return COLOURS[reached[-1]]


def figure_of(panel: Json, value: float) -> str:
    """A value with the panel's unit and decimals."""
    defaults = panel["fieldConfig"]["defaults"]
    return shown(value, defaults["unit"], defaults.get("decimals"))
