"""``quickeye plan``: exit codes, what it prints, and where its times come from."""

import json
from pathlib import Path
from typing import Any

import pytest

from server.commands.plan import main
from server.planning import search
from server.planning.from_file import as_json
from tests.server.mean_colour import write_mean_colour
from tests.server.planning.measured_times import times
from tests.server.posting import RED
from tests.server.running import serving

MEASURED = times({1: 0.010, 2: 0.019, 4: 0.037}, request_s=0.0005, added_s=0.001)

PLAN_KEYS = {
    *("machines", "cores_each", "instances_each", "threads", "max_batch_size", "rate_each_per_s"),
    *("largest_rate_each_per_s", "headroom", "expected", "bottleneck", "serve"),
}
EXPECTED_KEYS = {
    *("p50_ms", "p95_ms", "p99_ms", "refused", "instances_busy", "http_busy", "batch_size"),
    *("queue_images", "inflight_images"),
}
MEASURED_KEYS = {
    *("model", "version", "source", "machine", "date", "backend", "device", "instances", "threads", "cores"),
    *("batch_ms", "decode_ms", "preprocess_ms", "request_ms", "added_ms", "spread", "notes"),
}


@pytest.fixture(autouse=True)
def short_simulations(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a plan says is looked at elsewhere."""
    monkeypatch.setattr(search, "SEARCHED_REQUESTS", 1_000)
    monkeypatch.setattr(search, "TOLD_REQUESTS", 2_000)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Times that a plan printed."""
    written = tmp_path / "times.json"
    written.write_text(json.dumps({"measured": as_json(MEASURED)}))
    return written


def planned(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    assert main([*words, "--json"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    report: dict[str, Any] = json.loads(out)
    return report


def test_json_keeps_its_names(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = planned(capsys, "shoes", "--rate", "300", "--p99", "50", "--from", str(file), "--cores", "2", "4")
    assert report["schema"] == 1
    assert report.keys() == {"schema", "asked", "measured", "floor_p99_ms", "best", "plans", "left_out"}
    assert report["asked"] == {"rate_per_s": 300.0, "p99_ms": 50.0, "headroom": 0.2}
    assert report["measured"].keys() == MEASURED_KEYS
    assert report["best"] == report["plans"][0]
    assert {one["cores_each"] for one in report["plans"]} == {2, 4}
    for one in report["plans"]:
        assert one.keys() == PLAN_KEYS
        assert one["expected"].keys() == EXPECTED_KEYS
        assert one["machines"] * one["largest_rate_each_per_s"] >= 300 * 1.2 * 0.999
        assert one["expected"]["p50_ms"] <= one["expected"]["p95_ms"] <= one["expected"]["p99_ms"] <= 50
        assert 0 < one["expected"]["instances_busy"] < 1
        assert one["bottleneck"] == "infer"
    assert report["left_out"]


def test_no_model_is_named_where_the_times_are_of_one(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--rate", "300", "--p99", "50", "--from", str(file), "--cores", "4"]
    assert planned(capsys, *words) == planned(capsys, "shoes", *words)


def test_the_text_says_the_same(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["shoes", "--rate", "300", "--p99", "50", "--from", str(file), "--cores", "4"]
    best = planned(capsys, *words)["best"]
    assert main(words) == 0
    out = capsys.readouterr().out
    assert f"cheapest: {best['machines']} x 4 cores, each: quickeye serve {' '.join(best['serve'])}" in out
    assert "300 pictures/s, 99 in 100 within 50 ms, 20% kept free" in out
    assert "left out:" in out


def test_costs_that_are_given_are_no_longer_assumed(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["shoes", "--rate", "10", "--p99", "50", "--from", str(file), "--cores", "2"]
    given = planned(capsys, *words, "--request-ms", "2", "--added-ms", "5")
    assert given["measured"]["request_ms"] == 2.0
    assert given["floor_p99_ms"] == pytest.approx(15.0)


def test_an_impossible_objective_is_1_and_says_the_floor(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["shoes", "--rate", "1", "--p99", "5", "--from", str(file), "--json"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "it is 11.0 ms (decode 2.0, preprocess 1.0, infer 7.0" in err


def test_instances_larger_than_any_machine_are_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written = tmp_path / "times.json"
    written.write_text(json.dumps({"measured": as_json(times({1: 0.01}, threads=4, cores=4))}))
    assert main(["shoes", "--rate", "1", "--p99", "50", "--from", str(written), "--cores", "2"]) == 1
    assert "4 threads" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["shoes"], "--rate"),
        (["shoes", "--rate", "0", "--p99", "50"], "not a number from 0.001"),
        (["shoes", "--rate", "5", "--p99", "nan"], "not a number"),
        (["shoes", "--rate", "5", "--p99", "50", "--cores", "0"], "whole number from 1"),
        (["shoes", "--rate", "5", "--p99", "50", "--from", "x.json", "--backend", "fake"], "not to --from"),
    ],
)
def test_wrong_usage_is_2(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(words)
    assert stopped.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nothing", "--store", "STORE"], "nothing"),
        (["--store", "STORE"], "which MODEL? in STORE there are: mean_colour, other"),
        (["mean_colour", "--store", "STORE", "--images", "/no/such/folder"], "no such file or folder"),
        (["mean_colour", "--from", "/no/such/file.json"], "No such file"),
        (["mean_colour", "--from", "http://127.0.0.1:9"], "no times from http://127.0.0.1:9"),
    ],
)
def test_times_that_cannot_be_had_are_1(
    words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("mean_colour", "other"):
        write_mean_colour(tmp_path, name)
    places = [str(tmp_path) if word == "STORE" else word for word in words]
    assert main([*places, "--rate", "5", "--p99", "50"]) == 1
    assert said.replace("STORE", str(tmp_path)) in capsys.readouterr().err


@pytest.mark.slow
def test_times_are_measured_and_the_next_plan_stands_on_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUICKEYE_CACHE_DIR", str(tmp_path / "cache"))
    store = tmp_path / "store"
    write_mean_colour(store)
    words = ["mean_colour", "--rate", "1", "--p99", "100000", "--cores", "1", "--max-batch-size", "2"]
    report = planned(capsys, *words, "--store", str(store), "--seconds", "1")
    measured = report["measured"]
    assert (measured["model"], measured["source"]) == ("mean_colour", "measured here")
    assert list(measured["batch_ms"]) == ["1", "2"]
    assert min(measured["decode_ms"], measured["request_ms"], *measured["batch_ms"].values()) > 0
    again = tmp_path / "plan.json"
    again.write_text(json.dumps(report))
    assert planned(capsys, *words, "--from", str(again))["measured"] == measured
    alone = planned(capsys, *words[1:], "--store", str(store), "--seconds", "1")["measured"]
    assert alone["model"] == "mean_colour", "there is no other"


@pytest.mark.slow
def test_times_are_those_of_a_running_server(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = tmp_path / "store"
    write_mean_colour(store)
    with serving(tmp_path, "--store", str(store), "--instances", "3", "--threads", "1") as server:
        with server.client() as client:
            assert client.post("/v1/predict", content=RED).status_code == 200
        words = ["mean_colour", "--rate", "1", "--p99", "100000", "--cores", "1", "--max-batch-size", "1"]
        measured = planned(capsys, *words, "--from", server.url)["measured"]
        assert (measured["instances"], measured["source"]) == (3, server.url)
        assert measured["batch_ms"].keys() >= {"1", "8"}
        assert measured["decode_ms"] > 0
        assert planned(capsys, *words, "--from", f"{server.url}/metrics")["measured"]["source"] == server.url
        assert planned(capsys, *words[1:], "--from", server.url)["measured"]["model"] == "mean_colour"
        assert main(["shoes", "--rate", "1", "--p99", "100", "--from", server.url]) == 1
        assert "no times from" in capsys.readouterr().err
