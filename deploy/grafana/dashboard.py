"""A dashboard: sections of panels, laid out; variables; links to the others.

A section is a heading and rows; a row is as high as it says and 24 columns wide. Its panels share
what those with a width of their own leave, so that rows are full and nothing overlaps.
"""

from dataclasses import dataclass
from typing import Any

from deploy.grafana.panels import SOURCE, Json, Panel

COLUMNS = 24
TAG = "quickeye"
JOB = "quickeye"  # as the rules want it called; All of a shared Prometheus's jobs would have others' up and process_…
SCHEMA = 39  # of dashboards, as Grafana 10.4 and later write it; older figures are brought up to date on loading


@dataclass(frozen=True, slots=True)
class Row:
    """Panels side by side; ``height`` in Grafana's units of 38 px."""

    height: int
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class Section:
    """Rows under a heading; no title: no heading."""

    title: str
    rows: tuple[Row, ...]


def row(height: int, *panels: Panel) -> Row:
    """A row, written without the tuple."""
    return Row(height, panels)


def section(title: str, *rows: Row) -> Section:
    """A section, written without the tuple."""
    return Section(title, rows)


@dataclass(frozen=True, slots=True)
class Dashboard:
    """One page. ``uid`` is in its address and must stay; ``per_model``: whether panels depend on ``$model``."""

    uid: str
    title: str
    description: str
    sections: tuple[Section, ...]
    per_model: bool = True

    @property
    def panels(self) -> list[Panel]:
        """All of them, in reading order."""
        return [panel for section in self.sections for row in section.rows for panel in row.panels]

    def as_json(self) -> Json:
        """What Grafana is given."""
        return {
            "uid": self.uid,
            "title": self.title,
            "description": self.description,
            "tags": [TAG],
            "schemaVersion": SCHEMA,
            "editable": False,
            "graphTooltip": 1,  # one cross-hair in all panels
            "refresh": "10s",
            "time": {"from": "now-1h", "to": "now"},
            "timezone": "browser",
            "links": [_LINKS],
            "annotations": {"list": []},
            "templating": {"list": variables(per_model=self.per_model)},
            "panels": self._placed(),
        }

    def _placed(self) -> list[Json]:
        placed: list[Json] = []
        top = 0
        for section in self.sections:
            if section.title:
                placed.append(_heading(section.title, len(placed) + 1, top))
                top += 1
            for row in section.rows:
                left = 0
                for panel, width in zip(row.panels, _widths(row), strict=True):
                    place = {"h": row.height, "w": width, "x": left, "y": top}
                    placed.append(panel.as_json(len(placed) + 1, place))
                    left += width
                top += row.height
        return placed


def variables(*, per_model: bool) -> list[Json]:
    """``$datasource``, ``$job``, ``$instance`` and, where panels depend on it, ``$model``."""
    source = {
        "name": "datasource",
        "label": "Data source",
        "type": "datasource",
        "query": "prometheus",
        "refresh": 1,
        "hide": 0,
        "multi": False,
        "includeAll": False,
        "options": [],
    }
    job = _from_labels("job", "Job", "label_values(quickeye_event_loop_lag_seconds_count, job)", every=JOB)
    instance = _from_labels(
        "instance", "Instance", 'label_values(quickeye_event_loop_lag_seconds_count{job=~"$job"}, instance)'
    )
    asked = '{__name__=~"quickeye_model_info|quickeye_requests_total",job=~"$job",instance=~"$instance"}'
    model = _from_labels("model", "Model", f"label_values({asked}, model)")
    return [source, job, instance, *([model] if per_model else [])]


def _from_labels(name: str, label: str, query: str, *, every: str = ".*") -> Json:
    """``every`` is the pattern that stands for the choice *All*."""
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": query, "refId": f"{name}-values"},
        "refresh": 2,  # whenever the time range changes
        "sort": 1,
        "hide": 0,
        "multi": True,
        "includeAll": True,
        "allValue": every,
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
        "options": [],
    }


def _widths(row: Row) -> list[int]:
    """Widths that add up to the grid's."""
    shared = [panel for panel in row.panels if panel.width is None]
    left = COLUMNS - sum(panel.width or 0 for panel in row.panels)
    if (left % len(shared) if shared else left) or left < len(shared):
        raise ValueError(f"the row of {row.panels[0].title!r} does not fill {COLUMNS} columns: give its panels a width")
    return [panel.width or left // len(shared) for panel in row.panels]


def _heading(title: str, number: int, top: int) -> Json:
    place = {"h": 1, "w": COLUMNS, "x": 0, "y": top}
    return {"id": number, "type": "row", "title": title, "collapsed": False, "gridPos": place, "panels": []}


_LINKS: dict[str, Any] = {
    "type": "dashboards",
    "title": "Quickeye",
    "tags": [TAG],
    "asDropdown": False,
    "includeVars": True,
    "keepTime": True,
    "targetBlank": False,
    "icon": "external link",
    "tooltip": "",
    "url": "",
}
