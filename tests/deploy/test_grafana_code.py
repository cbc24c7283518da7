"""What makes the dashboards and draws them: full rows, names read off queries, figures with units, pictures."""

import math
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from deploy.grafana.dashboard import Dashboard, row, section
from deploy.grafana.panels import Panel, Query, metrics_in
from deploy.grafana.queries import mean, of_model, quantile, ratio, suffixed
from tests.deploy.grafana_pictures import WIDTH_PX, picture
from tests.deploy.grafana_queries import Window, dashboards, label_values, legend, put_in
from tests.deploy.grafana_units import shown
from tests.deploy.proved_run import Run


def panel(width: int | None = None) -> Panel:
    return Panel("Up", "What answers.", "short", (Query("sum(up{})"),), "Nothing at all here", width=width)


def places(*widths: int | None) -> list[tuple[int, int]]:
    board = Dashboard("x", "X", "x", (section("", row(4, *(panel(width) for width in widths))),))
    return [(one["gridPos"]["x"], one["gridPos"]["w"]) for one in board.as_json()["panels"]]


def test_panels_share_what_those_with_a_width_leave() -> None:
    assert places(None, None, None) == [(0, 8), (8, 8), (16, 8)]
    assert places(12, None, None) == [(0, 12), (12, 6), (18, 6)]
    assert places(24) == [(0, 24)]


@pytest.mark.parametrize("widths", [(None,) * 5, (12, 6), (24, None), (20, 8)])
def test_a_row_that_can_not_be_filled_is_refused(widths: tuple[int | None, ...]) -> None:
    with pytest.raises(ValueError, match="does not fill 24 columns: give its panels a width"):
        places(*widths)


def test_a_description_names_the_metrics_of_the_queries() -> None:
    assert metrics_in('sum(rate(quickeye_images_total{a="b"}[5m])) / up{}') == ["quickeye_images_total", "up"]
    assert metrics_in("max(job:quickeye_slow_requests:ratio_rate5m) / 0.01") == [
        "job:quickeye_slow_requests:ratio_rate5m"
    ]
    assert panel().as_json(1, {})["description"].endswith("From `up`.")


def test_queries_add_up_before_they_divide() -> None:
    histogram = of_model("h", 'a="b"')
    assert suffixed(histogram, "_sum") == 'h_sum{job=~"$job",instance=~"$instance",model=~"$model",a="b"}'
    assert (
        quantile(0.99, "h{}", "model")
        == "histogram_quantile(0.99, sum by (le, model) (rate(h_bucket{}[$__rate_interval]))) >= 0"
    )
    assert mean("h{}", window="1h") == "sum (rate(h_sum{}[1h])) / (sum (rate(h_count{}[1h])) > 0)"
    assert ratio("a", "b") == "(a or 0 * b) / (b > 0)"


@pytest.mark.parametrize(
    ("value", "unit", "decimals", "text"),
    [
        (0.0123, "s", None, "12.3 ms"),
        (95.0, "s", None, "1.58 min"),
        (0, "s", None, "0 s"),
        (0.9, "percentunit", None, "90 %"),
        (-0.00001, "percentunit", 2, "0.00 %"),
        (1536, "bytes", None, "1.5 kB"),
        (1017, "short", None, "1.02 k"),
        (3, "short", 0, "3"),
        (math.nan, "short", 0, "–"),
    ],
)
def test_figures_have_units(value: float, unit: str, decimals: int | None, text: str) -> None:
    assert shown(value, unit, decimals) == text


def test_variables_and_names_are_put_in_as_grafana_does() -> None:
    assert put_in('x{a=~"$job"}[${__range}]', {"job": ".*", "__range": "60s"}) == 'x{a=~".*"}[60s]'
    with pytest.raises(KeyError, match="nothing"):
        put_in("$nothing", {})
    assert legend("{{model}} {{class}}", {"model": "m", "class": "3", "job": "j"}) == "m 3"
    assert label_values('label_values(up{job=~"$job"}, instance)') == ("instance", 'up{job=~"$job"}')


def test_a_window_is_divided_as_grafana_does() -> None:
    hour = Window(0, 3600, scrape_s=15)
    assert (hour.step_s, hour.variables["__rate_interval"], hour.variables["__range"]) == (15, "60s", "3600s")
    assert Window(0, 86_400, scrape_s=15).variables["__rate_interval"] == "159s"


class Answers:
    """A Prometheus of two servers, three buckets, and nothing for some."""

    def at(self, expr: str, when_s: float) -> list[dict[str, Any]]:
        labels = ({"model": name, "instance": name, "version": "1"} for name in ("one", "two"))
        return [{"metric": each, "value": [when_s, "0.5"]} for each in labels]

    def over(self, expr: str, start_s: float, end_s: float, step_s: float) -> list[dict[str, Any]]:
        if "decode_failures" in expr:
            return []
        times = [time for time in np.arange(start_s, end_s, step_s) if not 20 < time < 40]
        values = [[float(time), "NaN" if time < 5 else str(time)] for time in times]
        if "histogram_quantile" not in expr and "_bucket" in expr:
            return [{"metric": {"le": bound}, "values": values} for bound in ("0.1", "0.5", "+Inf")]
        return [{"metric": {"model": name, "stage": name}, "values": values} for name in ("one", "two")]


@pytest.mark.parametrize("name", ["quickeye-models.json", "quickeye-machine.json"])
def test_every_kind_of_panel_is_drawn_with_gaps_and_without_data(name: str) -> None:
    run = cast(Run, SimpleNamespace(prometheus=Answers(), window=Window(0, 60, 1)))
    image = np.asarray(picture(run, dashboards()[name]))
    assert image.shape[1:] == (WIDTH_PX, 3)
    assert len(np.unique(image.reshape(-1, 3)[::7], axis=0)) > 50, "more than frames"
