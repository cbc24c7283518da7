import json

import pytest

from server.load.client import Answer
from server.load.report import LoadReport
from server.load.run import ClosedLoop, LoadPlan, OpenLoop
from server.load.tally import Tally

OPEN = LoadPlan(OpenLoop(100.0), seconds=10.0, warmup_s=1.0, seed=3)


def tally() -> Tally:
    counted = Tally(window_s=10.0, cpu_s=0.5, finished=1100, finished_ok=1000)
    for number in range(1, 1001):
        counted.add(Answer(200, None), number / 1000)
    for _ in range(100):
        counted.add(Answer(429, "overloaded", True), 0.002)
    return counted


def report(counted: Tally, plan: LoadPlan = OPEN) -> LoadReport:
    return LoadReport("http://127.0.0.1:8000", 3, 6000, plan, counted)


def test_json_says_everything_in_milliseconds_and_per_second() -> None:
    found = json.loads(json.dumps(report(tally()).as_json()))
    assert found["load"] == {
        "shape": "open",
        "rate": 100.0,
        "arrivals": "poisson",
        "max_inflight": 2048,
        "seconds": 10.0,
        "warmup_s": 1.0,
        "seed": 3,
    }
    assert found["pictures"] == {"count": 3, "mean_bytes": 2000}
    assert (found["requests"], found["ok"], found["retry_after"]) == (1100, 1000, 100)
    assert found["by_status"] == {"200": 1000, "429": 100}
    assert found["by_error"] == {"overloaded": 100}
    assert found["rate"] == {"asked_per_s": 100.0, "sent_per_s": 110.0, "answered_per_s": 110.0, "ok_per_s": 100.0}
    admitted = found["latency_ms"]["ok"]
    assert admitted == {
        "n": 1000,
        "mean": 500.5,
        "p50": 500.0,
        "p90": 900.0,
        "p95": 950.0,
        "p99": 990.0,
        "p99.9": 999.0,
        "max": 1000.0,
    }
    assert found["latency_ms"]["refused"]["p99"] == 2.0
    assert found["latency_ms"]["refused"]["p99.9"] is None
    assert found["latency_ms"]["other"] is None
    assert found["latency_ms"]["all"]["n"] == 1100
    assert found["client"]["core_share"] == 0.05
    assert found["client"]["bottleneck"] is None


def test_text_has_the_same_figures_and_a_dash_for_what_too_few_samples_hide() -> None:
    text = report(tally()).as_text()
    assert "1000 × 200, 100 × 429" in text
    assert "100 overloaded" in text
    assert "110.0 sent/s, 110.0 answered/s, 100.0 ok/s" in text
    assert "100 answers said Retry-After" in text
    rows = {line[:20].strip(): line[20:].split() for line in text.splitlines()}
    assert rows["admitted (2xx)"] == ["1000", "500.00", "900.00", "950.00", "990.00", "999.00", "1000.00"]
    assert rows["refused (429, 503)"] == ["100", "2.00", "2.00", "2.00", "2.00", "–", "2.00"]
    assert "other" not in rows


def test_what_was_not_sent_is_said_plainly() -> None:
    counted = tally()
    counted.not_sent = 77
    assert "NOT SENT: 77" in report(counted).as_text()
    assert report(counted).as_json()["not_sent"] == 77


def test_an_interruption_is_said_plainly() -> None:
    counted = tally()
    counted.interrupted, counted.unfinished = True, 4
    assert "INTERRUPTED" in report(counted).as_text()
    assert "4 unfinished" in report(counted).as_text()


def test_a_closed_loop_asked_for_no_rate() -> None:
    found = report(tally(), LoadPlan(ClosedLoop(4), 10.0)).as_json()
    assert found["load"] == {"shape": "closed", "connections": 4, "seconds": 10.0, "warmup_s": 0.0, "seed": 0}
    assert "closed loop, 4 connections" in report(tally(), LoadPlan(ClosedLoop(4), 10.0)).as_text()


@pytest.mark.parametrize("counted", [Tally(), Tally(window_s=1.0)])
def test_nothing_measured_is_a_report_too(counted: Tally) -> None:
    found = report(counted)
    assert not found.succeeded
    assert "no request ended with an answer" in found.as_text()
    assert json.loads(json.dumps(found.as_json()))["latency_ms"]["all"] is None


@pytest.mark.parametrize(
    ("cpu_s", "send_late", "loop_lag", "words"),
    [
        (9.0, [], [], "used 90% of a core"),
        (1.0, [0.0] * 50 + [0.2] * 50, [], "sent its requests up to 200 ms late"),
        (1.0, [0.001] * 100, [0.05] * 5, "noticed what happened up to 50 ms late"),
        (1.0, [0.001] * 99 + [0.5], [0.001] * 100, None),
    ],
)
def test_the_client_says_when_it_was_the_slow_one(
    cpu_s: float, send_late: list[float], loop_lag: list[float], words: str | None
) -> None:
    counted = tally()
    counted.cpu_s = cpu_s
    counted.send_late.extend(send_late)
    counted.loop_lag.extend(loop_lag)
    why = counted.bottleneck()
    assert why is None if words is None else why is not None and words in why
    assert ("CLIENT LIMITED" in report(counted).as_text()) == (words is not None)
