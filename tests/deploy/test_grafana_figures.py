"""What panels show of series done by hand, where it is easy to get wrong: what has just ended, and what never was."""

import json
from pathlib import Path

import pytest

from tests.deploy.grafana_queries import Window, put_in, targets
from tests.deploy.promtool import promtool

pytestmark = pytest.mark.needs_prometheus

HOURS = 25
ONE_A_MINUTE, ENDED_TWO_HOURS_AGO = f"0+1x{HOURS * 60}", f"0+1x{(HOURS - 2) * 60} {(HOURS - 2) * 60}x120"
TARGET = 'job="quickeye",instance="a:8000"'


def says(folder: Path, title: str, series: dict[str, str], expected: dict[str, float]) -> tuple[int, str]:
    """Have promtool compare a panel's answer after 25 h of one value a minute; labels → value is expected.

    Args:
        series: name and labels but the target's → values, as unit tests of rules write them.
    """
    (target,) = [each for each in targets() if f"{each.dashboard} / {each.panel}".endswith(title)]
    everything = {"job": "quickeye", "instance": ".*", "model": ".*", **Window(0, 3600, 60).variables}
    wanted = [{"labels": labels, "value": value} for labels, value in expected.items()]
    query = f"round({put_in(target.expr, everything)}, 0.001)"
    case = {
        "interval": "1m",
        "input_series": [{"series": f"{name[:-1]},{TARGET}}}", "values": text} for name, text in series.items()],
        "promql_expr_test": [{"expr": query, "eval_time": f"{HOURS}h", "exp_samples": wanted}],
    }
    file = folder / "panel.yml"
    file.write_text(json.dumps({"tests": [case]}))
    return promtool("test", "rules", file)


def test_a_class_that_nobody_sees_any_more_is_half_of_the_drift(tmp_path: Path) -> None:
    """A day of two classes, half each but for the last two hours: 22/46 of the day's answers were of the other."""
    counts = {
        'quickeye_predictions_total{model="m",class="0"}': ONE_A_MINUTE,
        'quickeye_predictions_total{model="m",class="1"}': ENDED_TWO_HOURS_AGO,
        'quickeye_predictions_total{model="steady",class="0"}': ONE_A_MINUTE,
        'quickeye_predictions_total{model="steady",class="1"}': ONE_A_MINUTE,
    }
    expected = {'{model="m"}': round(22 / 46, 3), '{model="steady"}': 0.0}
    code, said = says(tmp_path, "Models / Class drift", counts, expected)
    assert code == 0, said


@pytest.mark.parametrize(("sessions", "shown"), [("3x1500", 3.0), ("3x1400 stale", 0.0)])
def test_after_the_last_stream_none_is_open(tmp_path: Path, sessions: str, shown: float) -> None:
    series = {'quickeye_stream_sessions{model="m"}': sessions, 'quickeye_model_ready{model="m"}': "1x1500"}
    code, said = says(tmp_path, "Streams / Streams", series, {"{}": shown})
    assert code == 0, said


def test_a_percentile_of_nothing_is_no_figure(tmp_path: Path) -> None:
    buckets = {f'quickeye_event_loop_lag_seconds_bucket{{le="{bound}"}}': "7x1500" for bound in ("0.001", "+Inf")}
    code, said = says(tmp_path, "Machine / Event loop late by", buckets, {})
    assert code == 0, said
