"""Times from files: a benchmark's, and a plan's own."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from server.planning.errors import PlanningError
from server.planning.from_file import as_json, read_file
from server.planning.measured import SHARES, Spread
from tests.server.planning.measured_times import PLAIN


def latency(mean: float, **percentiles: float) -> dict[str, float | int | None]:
    names = ("p50", "p90", "p95", "p99", "p99.9")
    return {"n": 120, "mean": mean, **{name: percentiles.get(name) for name in names}, "p50": mean, "max": 2 * mean}


def cell(batch: int, mean_ms: float, rate: float, backend: str = "onnxruntime") -> dict[str, Any]:
    engine = {"backend": backend, "device": "cpu", "instances": 2, "threads": 1}
    return {**engine, "batch": batch, "latency_ms": latency(mean_ms, p90=1.2 * mean_ms), "images_per_s": rate}


BENCHMARK = {
    "machine": {"cpu": "a machine", "cores": 2},
    "model": {"name": "shoes", "version": 4, "precision": "int8"},
    "run": [cell(1, 10.0, 200), cell(8, 72.0, 220), cell(1, 5.0, 400, "slow"), cell(8, 40.0, 400, "slow")],
    "path": [cell(8, 88.0, 180), cell(8, 400.0, 40, "slow")],
}


def written(folder: Path, content: object) -> Path:
    file = folder / "times.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return file


def test_a_benchmark_s_path_tells_what_preparing_costs(tmp_path: Path) -> None:
    """88 ms for eight from encoded bytes, 72 from pixels: 2 ms for each picture."""
    measured = read_file(written(tmp_path, BENCHMARK), "shoes")
    assert measured.batch_s == pytest.approx({1: 0.012, 8: 0.088})
    assert measured.decode_s == pytest.approx(0.002)
    assert (measured.backend, measured.instances, measured.cores, measured.version) == ("onnxruntime", 2, 2, 4)
    assert measured.spread.at(0.9) / measured.spread.at(0.5) == pytest.approx(1.2)
    assert measured.spread.at(1.0) / measured.spread.at(0.5) == pytest.approx(2.0)


def test_what_a_plan_printed_is_read_again(tmp_path: Path) -> None:
    measured = replace(PLAIN, batch_s={1: 0.01, 8: 0.05}, request_s=0.0004, spread=Spread.lognormal(0.2))
    again = read_file(written(tmp_path, {"measured": as_json(measured)}), "shoes/3")
    assert replace(again, spread=measured.spread) == measured
    assert [again.spread.at(share) for share in SHARES] == pytest.approx(measured.spread.factors, rel=1e-3)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "Invalid JSON"),
        ("[]", "Input should be an object"),
        ({"path": []}, "machine Field required"),
        ({**BENCHMARK, "run": BENCHMARK["run"][1:2]}, "no batch of 1"),
        ({"measured": {}}, "model Field required"),
        ({**BENCHMARK, "model": {"name": "hats", "version": 1}}, "times of 'hats', not of 'shoes'"),
    ],
)
def test_other_files_are_refused_with_a_reason(content: object, said: str, tmp_path: Path) -> None:
    with pytest.raises(PlanningError, match=said):
        read_file(written(tmp_path, content), "shoes")


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(PlanningError, match="No such file"):
        read_file(tmp_path / "none.json", "shoes")
