"""The dashboards' JSON: what the code makes, what Grafana knows, and the conventions that make panels right.

That the queries have answers is ``test_proved_for_real``; here nothing is started.
"""

import copy
import json
import re
from itertools import combinations
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.dashboard import Dashboard

from deploy.grafana.boards import BOARDS
from deploy.grafana.panels import metrics_in
from deploy.grafana.write import FOLDER, files
from tests.deploy.grafana_queries import Json, chosen, dashboards, panels
from tests.docs.pages import ROOT

COLUMNS, FIGURES_HIGH = 24, 4
PROVISIONING = ROOT / "deploy" / "grafana" / "provisioning"
WINDOWS = {"__rate_interval": "1m", "__range": "1h"}

ALL = dashboards()
PANELS = [(dashboard, panel) for dashboard in ALL.values() for panel in panels(dashboard)]
TARGETS = [(panel, target) for _, panel in PANELS for target in panel["targets"]]

each_dashboard = pytest.mark.parametrize("dashboard", ALL.values(), ids=list(ALL))
NAMES = [f"{dashboard['title']}/{panel['title']}" for dashboard, panel in PANELS]
each_panel = pytest.mark.parametrize("panel", [panel for _, panel in PANELS], ids=NAMES)
each_query = pytest.mark.parametrize("expr", sorted({target["expr"] for _, target in TARGETS}))


def read_by_grafanas_own(dashboard: Json) -> Json:
    """Through the types that Grafana Labs generates of its schema, and back."""
    register_default_plugins()
    written: Json = json.loads(JSONEncoder().encode(Dashboard.from_json(copy.deepcopy(dashboard))))
    return written


def lost(ours: Any, theirs: Any, path: str = "") -> list[str]:  # noqa: ANN401 (any JSON)
    """Where ``theirs`` lacks or changes what ``ours`` says; what it adds are defaults."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return [
            place
            for key, value in ours.items()
            for place in (lost(value, theirs[key], f"{path}/{key}") if key in theirs else [f"{path}/{key}"])
        ]
    if isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        return [place for at, value in enumerate(ours) for place in lost(value, theirs[at], f"{path}/{at}")]
    return [] if ours == theirs else [path]


def test_the_files_are_what_the_code_makes() -> None:
    on_disk = {file.name: file.read_text(encoding="utf-8") for file in FOLDER.glob("*.json")}
    assert on_disk == files(), "run `python -m deploy.grafana.write`"


@each_dashboard
def test_grafana_knows_every_field(dashboard: Json) -> None:
    assert lost(dashboard, read_by_grafanas_own(dashboard)) == []


def test_a_field_that_grafana_does_not_know_is_noticed() -> None:
    spoiled = copy.deepcopy(ALL["quickeye-overview.json"])
    first = panels(spoiled)[0]
    first["options"]["colourMode"] = "value"
    first["fieldConfig"]["defaults"]["thresholds"]["kind"] = "absolute"
    first["targets"][0]["expression"] = "up"
    assert [place.rpartition("/")[2] for place in lost(spoiled, read_by_grafanas_own(spoiled))] == [
        "expression",
        "kind",
        "colourMode",
    ]


@each_dashboard
def test_panels_fill_their_rows_and_never_overlap(dashboard: Json) -> None:
    places = [panel["gridPos"] for panel in dashboard["panels"]]
    cells = [{(x, y) for x in range(p["x"], p["x"] + p["w"]) for y in range(p["y"], p["y"] + p["h"])} for p in places]
    assert all(not one & other for one, other in combinations(cells, 2))
    height = max(place["y"] + place["h"] for place in places)
    assert set().union(*cells) == {(x, y) for x in range(COLUMNS) for y in range(height)}, "no holes, nothing outside"


@each_dashboard
def test_figures_stand_on_top_and_wide_enough_to_read_at_1600_px(dashboard: Json) -> None:
    shown = panels(dashboard)
    assert {panel["type"] for panel in shown if panel["gridPos"]["y"] < FIGURES_HIGH} == {"stat"}
    px = 1600 / COLUMNS
    assert all(panel["gridPos"]["w"] * px >= (260 if panel["type"] == "stat" else 390) for panel in shown)


@each_dashboard
def test_ids_titles_and_variables(dashboard: Json) -> None:
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(ids)) == len(ids)
    titles = [panel["title"] for panel in panels(dashboard)]
    assert len(set(titles)) == len(titles)
    names = [variable["name"] for variable in dashboard["templating"]["list"]]
    assert names[:3] == ["datasource", "job", "instance"]
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(dashboard["panels"])))
    assert used <= {*names, "__rate_interval", "__range"}
    assert set(names) <= used, "a variable that nothing uses"


def test_dashboards_are_told_apart_and_link_to_each_other() -> None:
    assert len({dashboard["uid"] for dashboard in ALL.values()}) == len(ALL) == len(BOARDS) == 5
    for dashboard in ALL.values():
        (link,) = dashboard["links"]
        assert (link["type"], link["includeVars"], link["keepTime"]) == ("dashboards", True, True)
        assert set(link["tags"]) <= set(dashboard["tags"])


@each_panel
def test_a_panel_says_what_it_shows(panel: Json) -> None:
    defaults = panel["fieldConfig"]["defaults"]
    known = {value for name, value in vars(units).items() if not name.startswith("_")} | {"string"}
    assert defaults["unit"] in known
    assert re.search(r"\w+( \w+){2,}", defaults["noValue"]), "the empty state, in words"
    assert panel["datasource"]["uid"] == "${datasource}"
    assert {target["datasource"]["uid"] for target in panel["targets"]} == {"${datasource}"}
    named = set(re.findall(r"`([^`]+)`", panel["description"]))
    assert named == {name for target in panel["targets"] for name in metrics_in(target["expr"])} != set()
    assert len(panel["description"].partition("\n\n")[0]) > 10


@each_panel
def test_a_figure_is_of_this_moment(panel: Json) -> None:
    """The last value of a range may be an hour old."""
    if panel["type"] in ("stat", "bargauge", "table"):
        assert {(target["instant"], target["range"]) for target in panel["targets"]} == {(True, False)}
        assert panel["options"].get("graphMode", "none") == "none"
    else:
        assert not any(target["instant"] for target in panel["targets"])


@each_panel
def test_an_axis_of_buckets_has_the_unit(panel: Json) -> None:
    """Grafana's heat-map does not look at the field's."""
    if panel["type"] == "heatmap":
        axis = panel["options"]["yAxis"]
        assert axis == {"axisPlacement": "left", "unit": panel["fieldConfig"]["defaults"]["unit"]}


@each_panel
def test_an_empty_cell_of_a_table_does_not_say_that_nothing_is_there(panel: Json) -> None:
    if panel["type"] == "table":
        (override,) = panel["fieldConfig"]["overrides"]
        assert override["properties"] == [{"id": "noValue", "value": "–"}]
        assert re.match(override["matcher"]["options"].strip("/"), "Parent")


@each_dashboard
def test_all_jobs_are_those_that_the_rules_know(dashboard: Json) -> None:
    """A shared Prometheus has ``up``, ``process_…`` and ``python_…`` of everybody."""
    (scraped,) = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
    everything = chosen(dashboard)
    assert everything.pop("job") == scraped["job_name"]
    assert set(everything.values()) == {".*"}


@each_panel
def test_series_of_a_graph_have_names_and_figures_in_the_legend(panel: Json) -> None:
    if panel["type"] != "timeseries":
        return
    legend = panel["options"]["legend"]
    assert (legend["showLegend"], legend["calcs"]) == (True, ["lastNotNull", "max"])
    letters = [target["refId"] for target in panel["targets"]]
    assert len(set(letters)) == len(letters)
    assert all(target["legendFormat"] != "__auto" for target in panel["targets"])


def test_provisioning_finds_prometheus_and_the_dashboards() -> None:
    (source,) = yaml.safe_load((PROVISIONING / "datasources" / "quickeye.yml").read_text())["datasources"]
    scraped = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text())["global"]
    assert source["type"] == "prometheus"
    assert (source["name"], source["isDefault"]) == ("Quickeye Prometheus", False), "others' are left as they are"
    assert source["jsonData"]["timeInterval"] == scraped["scrape_interval"], "$__rate_interval is four of these"
    (provider,) = yaml.safe_load((PROVISIONING / "dashboards" / "quickeye.yml").read_text())["providers"]
    assert provider["type"] == "file"
    assert provider["options"]["path"] == "/etc/grafana/dashboards/quickeye"
