"""What Grafana would ask Prometheus for a dashboard: its JSON read back, variables put in.

Of the JSON alone, as Grafana has nothing else: the code that wrote it is not looked at.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DASHBOARDS = Path(__file__).parents[2] / "deploy" / "grafana" / "dashboards"

Json = dict[str, Any]

_LABEL_VALUES = re.compile(r"label_values\((?P<match>.*), (?P<label>\w+)\)", re.DOTALL)
_LEGEND = re.compile(r"\{\{(\w+)\}\}")


@dataclass(frozen=True, slots=True)
class Window:
    """The time that a dashboard shows, as Grafana divides it."""

    start_s: float
    end_s: float
    scrape_s: float

    @property
    def step_s(self) -> float:
        """Between two points; Grafana takes no shorter one than the scrape interval."""
        return max(self.scrape_s, round((self.end_s - self.start_s) / 600))

    @property
    def variables(self) -> dict[str, str]:
        """Grafana's own."""
        rate_interval_s = max(self.step_s + self.scrape_s, 4 * self.scrape_s)
        return {
            "__rate_interval": f"{rate_interval_s:g}s",
            "__interval": f"{self.step_s:g}s",
            "__range": f"{self.end_s - self.start_s:.0f}s",
        }


@dataclass(frozen=True, slots=True)
class Target:
    """One query of one panel."""

    dashboard: str
    panel: str
    expr: str
    legend: str
    instant: bool

    def __str__(self) -> str:
        return f"{self.dashboard} / {self.panel} / {self.legend}"


def dashboards() -> dict[str, Json]:
    """Every dashboard that is provisioned, by file name."""
    return {file.name: json.loads(file.read_text(encoding="utf-8")) for file in sorted(DASHBOARDS.glob("*.json"))}


def panels(dashboard: Json) -> list[Json]:
    """Those that show something; headings are left out."""
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def targets() -> Iterator[Target]:
    """Every query of every panel."""
    for dashboard in dashboards().values():
        for panel in panels(dashboard):
            for target in panel["targets"]:
                legend = f"{target['refId']} {target['legendFormat']}"
                yield Target(dashboard["title"], panel["title"], target["expr"], legend, target["instant"])


def variables(dashboard: Json) -> list[Json]:
    """Those that are asked of Prometheus."""
    return [variable for variable in dashboard["templating"]["list"] if variable["type"] == "query"]


def chosen(dashboard: Json) -> dict[str, str]:
    """What stands for each variable while all of its values are chosen."""
    return {variable["name"]: variable["allValue"] for variable in variables(dashboard)}


def label_values(query: str) -> tuple[str, str]:
    """``label_values(selector, label)`` → label, selector."""
    found = _LABEL_VALUES.fullmatch(query)
    if found is None:
        raise ValueError(f"not label_values(selector, label): {query}")
    return found["label"], found["match"]


def put_in(text: str, values: Mapping[str, str]) -> str:
    """``$name`` and ``${name}`` replaced.

    Raises:
        KeyError: a variable that has no value.
    """
    return re.sub(r"\$(?:\{(\w+)\}|(\w+))", lambda found: values[found[1] or found[2]], text)


def legend(pattern: str, labels: Mapping[str, str]) -> str:
    """The name of a series."""
    if pattern == "__auto":
        return ", ".join(labels.values())
    return _LEGEND.sub(lambda found: labels.get(found[1], ""), pattern)
