"""Panels: what a board says of one, and the JSON that Grafana wants for it.

A board names title, meaning, unit, queries and what to say where there is nothing to show; the
rest is the same for all and stands here once. The metrics are read off the queries into the
description, so that it can't name another one.

Why no library: ``grafana-foundation-sdk`` knows every field of every panel type in 53,000 generated
lines, one release per version of Grafana, 11.6 the newest; what these boards need of it are the five
kinds below. The tests read the JSON with it, so that no field is one that Grafana does not know.
"""

import re
from dataclasses import dataclass
from typing import Any, Literal

Json = dict[str, Any]  # an object of the dashboard's JSON

SOURCE: Json = {"type": "prometheus", "uid": "${datasource}"}
GREEN, YELLOW, RED, BLUE = "green", "yellow", "red", "blue"

_METRIC = re.compile(r"(?<![\w:])(?:quickeye|process|python)_\w+|(?<![\w:])\w+(?::\w+){2}|(?<![\w:])up(?=\{)")


@dataclass(frozen=True, slots=True)
class Query:
    """One expression and how its series are called; ``{{label}}`` stands for a label's value."""

    expr: str
    legend: str = "__auto"


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel.

    Args:
        meaning: what it shows and what to make of it; the metrics are added.
        unit: Grafana's name of it: ``s``, ``reqps``, ``percentunit``, ``bytes``, ``short`` …
        empty: said in words where there is no data.
        kind: ``stat`` one figure per series, ``bars``, ``table``: of this moment;
            ``lines``, ``stack`` over time; ``heat`` over buckets.
        colours: from which value on which colour, the first from None on.
        columns: of a table, in order: label → heading.
        width: of 24; None: an equal share of its row.
    """

    title: str
    meaning: str
    unit: str
    queries: tuple[Query, ...]
    empty: str
    kind: Literal["stat", "lines", "stack", "heat", "bars", "table"] = "lines"
    colours: tuple[tuple[float | None, str], ...] = ((None, BLUE),)
    columns: tuple[tuple[str, str], ...] = ()
    decimals: int | None = None
    maximum: float | None = None
    width: int | None = None

    @property
    def type(self) -> str:
        """Grafana's name of the kind."""
        types = {"stat": "stat", "heat": "heatmap", "bars": "bargauge", "table": "table"}
        return types.get(self.kind, "timeseries")

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics and recording rules that it asks for, in order."""
        return tuple(dict.fromkeys(name for query in self.queries for name in metrics_in(query.expr)))

    def as_json(self, number: int, place: Json) -> Json:
        """The panel at its place in the grid."""
        return {
            "id": number,
            "type": self.type,
            "title": self.title,
            "description": f"{self.meaning}\n\nFrom {', '.join(f'`{name}`' for name in self.metrics)}.",
            "datasource": SOURCE,
            "gridPos": place,
            "targets": [self._target(query, chr(ord("A") + at)) for at, query in enumerate(self.queries)],
            "fieldConfig": {"defaults": self._defaults(), "overrides": [_NO_CELL] if self.kind == "table" else []},
            "options": self._options(),
            **self._arranged(),
        }

    def _target(self, query: Query, letter: str) -> Json:
        instant = self.kind in ("stat", "bars", "table")
        return {
            "refId": letter,
            "datasource": SOURCE,
            "editorMode": "code",
            "expr": query.expr,
            "legendFormat": query.legend,
            "format": {"heat": "heatmap", "table": "table"}.get(self.kind, "time_series"),
            "instant": instant,
            "range": not instant,
        }

    def _defaults(self) -> Json:
        steps = [{"value": value, "color": colour} for value, colour in self.colours]
        mode = "palette-classic" if self.type == "timeseries" else "thresholds"
        return {
            "unit": self.unit,
            "noValue": self.empty,
            "color": {"mode": mode},
            "thresholds": {"mode": "absolute", "steps": steps},
            "custom": _custom(self.kind, with_thresholds=len(steps) > 1),
            **({} if self.kind in ("heat", "table") else {"min": 0}),
            **({} if self.maximum is None else {"max": self.maximum}),
            **({} if self.decimals is None else {"decimals": self.decimals}),
        }

    def _options(self) -> Json:
        options = _OPTIONS[self.kind]
        if self.kind == "heat":  # whose axis does not look at the field's unit
            return {**options, "yAxis": {"axisPlacement": "left", "unit": self.unit}}
        return options

    def _arranged(self) -> Json:
        """A table's columns: those that are named, in that order, under their headings."""
        if self.kind != "table":
            return {}
        labels = [label for label, _ in self.columns]
        organised = {
            "indexByName": {label: at for at, label in enumerate(labels)},
            "renameByName": dict(self.columns),
            "includeByName": dict.fromkeys(labels, True),
            "excludeByName": {},
        }
        return {"transformations": [{"id": "organize", "options": organised}]}


def metrics_in(expression: str) -> list[str]:
    """The names of metrics and recording rules in PromQL."""
    return _METRIC.findall(expression)


# ``noValue`` is also written into every cell that is empty, such as the parent of a model that has none.
_NO_CELL: Json = {
    "matcher": {"id": "byRegexp", "options": "/.*/"},
    "properties": [{"id": "noValue", "value": "–"}],
}
_LAST: Json = {"calcs": ["lastNotNull"], "fields": "", "values": False}
_GRAPH: Json = {
    "legend": {"displayMode": "table", "placement": "bottom", "showLegend": True, "calcs": ["lastNotNull", "max"]},
    "tooltip": {"mode": "multi", "sort": "desc"},
}
_OPTIONS: dict[str, Json] = {
    "stat": {
        "colorMode": "value",
        "graphMode": "none",
        "justifyMode": "auto",
        "orientation": "auto",
        "reduceOptions": _LAST,
        "textMode": "auto",
    },
    "lines": _GRAPH,
    "stack": _GRAPH,
    "bars": {"displayMode": "gradient", "orientation": "horizontal", "showUnfilled": True, "reduceOptions": _LAST},
    "table": {"showHeader": True, "cellHeight": "sm"},
    "heat": {
        "calculate": False,
        "cellGap": 1,
        "color": {"mode": "scheme", "scheme": "Oranges", "steps": 64, "exponent": 0.5, "reverse": False},
        "filterValues": {"le": 1e-9},
        "legend": {"show": True},
        "rowsFrame": {"layout": "auto"},
        "showValue": "never",
        "tooltip": {"mode": "single", "yHistogram": True},
    },
}


def _custom(kind: str, *, with_thresholds: bool) -> Json:
    if kind not in ("lines", "stack"):
        return {}
    stacked = kind == "stack"
    return {
        "drawStyle": "line",
        "lineWidth": 1,
        "fillOpacity": 60 if stacked else 8,
        "showPoints": "never",
        "spanNulls": False,
        "stacking": {"mode": "normal" if stacked else "none", "group": "A"},
        "thresholdsStyle": {"mode": "dashed" if with_thresholds else "off"},
    }
