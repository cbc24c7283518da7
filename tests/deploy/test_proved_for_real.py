"""Every panel, variable and rule, asked of a real Prometheus that scraped a real server under every kind of traffic.

An empty answer is a fault: a panel that has never had data is a panel that nobody has checked. What the server
counted must be what ``quickeye loadtest`` and a stream counted themselves, to the last request and frame.
"""

import math
from collections.abc import Iterator

import pytest

from deploy.grafana.panels import metrics_in
from tests.deploy.grafana_queries import (
    Target,
    chosen,
    dashboards,
    label_values,
    legend,
    put_in,
    targets,
    variables,
)
from tests.deploy.proved_prometheus import Series
from tests.deploy.proved_run import Run, recorded
from tests.deploy.proved_traffic import COUNTED, SHIPPED, drain

pytestmark = [pytest.mark.slow, pytest.mark.needs_prometheus]

SECONDS = 8.0

# Panels whose data can't be had on a machine without it, and why.
NEEDS_HARDWARE = dict.fromkeys(
    ("GPU busy", "GPU memory", "GPU power", "GPU temperature", "GPU decoders", "A GPU's time, by stage"), "a GPU"
)

TARGETS = list(targets())


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    with recorded(tmp_path_factory.mktemp("proved"), SECONDS) as run:
        yield run


def answer(run: Run, target: Target) -> list[Series]:
    """As Grafana would ask with everything chosen."""
    (dashboard,) = [each for each in dashboards().values() if each["title"] == target.dashboard]
    expr = put_in(target.expr, {**run.window.variables, **chosen(dashboard)})
    window = run.window
    if target.instant:
        return run.prometheus.at(expr, window.end_s)
    return run.prometheus.over(expr, window.start_s, window.end_s, window.step_s)


def numbers(series: list[Series]) -> list[float]:
    values = [value for one in series for _, value in one.get("values", [one.get("value")])]
    return [number for number in map(float, values) if not math.isnan(number)]


@pytest.mark.parametrize("target", TARGETS, ids=str)
def test_every_query_of_every_panel_has_an_answer(run: Run, target: Target) -> None:
    series = answer(run, target)
    if target.panel in NEEDS_HARDWARE:
        pytest.skip(f"{target.panel} needs {NEEDS_HARDWARE[target.panel]}; its query was accepted")
    assert numbers(series), "no data"
    names = [legend(target.legend.partition(" ")[2], one["metric"]) for one in series]
    assert len(set(names)) == len(names), "two series of one name"
    assert all(name.strip() for name in names) or target.legend.endswith("__auto")


def test_every_variable_has_values_and_they_narrow_each_other(run: Run) -> None:
    for title, dashboard in dashboards().items():
        for variable in variables(dashboard):
            label, match = label_values(variable["query"]["query"])
            values = run.prometheus.labels(label, put_in(match, chosen(dashboard)))
            assert values, (title, variable["name"])
            nobody = put_in(match, dict.fromkeys(chosen(dashboard), "nobody"))
            assert variable["name"] == "job" or run.prometheus.labels(label, nobody) == []
            if label == "model":
                assert {SHIPPED, COUNTED, "mean_colour", "unknown"} <= set(values)


def test_every_recording_rule_is_evaluated_and_has_an_answer(run: Run) -> None:
    recording = [rule for rule in run.prometheus.rules() if rule["type"] == "recording"]
    assert len(recording) > 20
    for rule in recording:
        assert (rule["health"], rule.get("lastError")) == ("ok", None), rule["name"]
        assert numbers(run.prometheus.at(rule["name"])), rule["name"]


def test_every_alert_is_evaluated_on_metrics_that_are_there(run: Run) -> None:
    """Most alerts rightly have no answer: that of each metric in it is asked for."""
    alerts = [rule for rule in run.prometheus.rules() if rule["type"] == "alerting"]
    assert len(alerts) > 10
    for rule in alerts:
        assert (rule["health"], rule.get("lastError")) == ("ok", None), rule["name"]
        for metric in metrics_in(rule["query"]):
            assert run.prometheus.at(metric), (rule["name"], metric)


def test_what_is_wrong_here_is_noticed(run: Run) -> None:
    """One target is down, one model can't be loaded, requests were refused: the alerts that say so are on."""
    on = {rule["name"] for rule in run.prometheus.rules() if rule["type"] == "alerting" and rule["alerts"]}
    assert {"QuickeyeTargetDown", "QuickeyeLoadFailed", "QuickeyeOverloaded"} <= on
    assert not {"QuickeyeAbsent", "QuickeyeAllDown", "QuickeyeNoModelReady"} & on


def test_requests_and_images_are_what_the_load_test_counted(run: Run) -> None:
    report, value = run.load, run.prometheus.value
    assert (report["unfinished"], report["not_sent"], report["warmup_requests"]) == (0, 0, 0)
    assert {"200", "429"} == set(report["by_status"])
    of_load = f'model="{COUNTED}",protocol="http"'
    for status, count in report["by_status"].items():
        assert value(f'sum(quickeye_requests_total{{{of_load},code="{status}"}})') == count
    assert value(f"sum(quickeye_requests_total{{{of_load}}})") == report["requests"]
    assert value(f'sum(quickeye_images_total{{{of_load},outcome="ok"}})') == report["ok"]
    assert value(f'sum(quickeye_images_total{{{of_load},outcome!="ok"}})') == report["requests"] - report["ok"]
    assert value(f'sum(quickeye_rejected_total{{model="{COUNTED}"}})') == report["by_error"]["overloaded"]
    assert value(f"sum(quickeye_request_duration_seconds_count{{{of_load}}})") == report["requests"]


def test_frames_are_what_the_stream_counted(run: Run) -> None:
    stats, value = run.stream, run.prometheus.value
    of_stream = f'model="{COUNTED}"'
    assert (stats.results > 0, stats.errors > 0) == (True, True)
    assert value(f"sum(quickeye_stream_frames_total{{{of_stream}}})") == stats.frames
    assert value(f'sum(quickeye_stream_frames_total{{{of_stream},outcome="result"}})') == stats.results
    assert value(f'sum(quickeye_stream_frames_total{{{of_stream},outcome="error"}})') == stats.errors
    assert value(f"sum(quickeye_stream_frame_age_seconds_count{{{of_stream}}})") == stats.results
    run_images = f'sum(quickeye_stage_duration_seconds_count{{{of_stream},stage="infer"}})'
    assert value(run_images) == stats.results + run.load["ok"]


def test_draining_is_seen_and_then_the_server_is_unreachable(run: Run) -> None:
    """Last, as it ends the server."""
    before = run.prometheus.value('sum(quickeye_requests_total{code="503"})')
    assert drain(run.server) == 503
    run.prometheus.wait_for_scrape()
    assert run.prometheus.value('sum(quickeye_requests_total{code="503"})') > before
    assert run.server.ended() == 0
    (unreachable,) = [target for target in TARGETS if target.panel == "Unreachable"]
    run.prometheus.wait_until("sum(1 - up)", 2)
    expr = put_in(unreachable.expr, {"job": ".*", "instance": ".*"})
    assert run.prometheus.value(expr) == 2
