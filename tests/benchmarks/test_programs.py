"""Each program runs from start to end on a tiny bundle and prints its figures; which figures, nobody asserts."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.server.mean_colour import write_mean_colour

ROOT = Path(__file__).parents[2]
HERE = ("--store", "STORE", "--images", "IMAGES")
STORED, BRIEF = ("--store", "STORE"), ("--threads", "1", "--seconds", "0.05")
ONE_STEP = ("--shares", "0.3", "--ladder", "0.5")
PROGRAMS = {
    "client_cost": (["--requests", "20", "--rounds", "1"], ["median_us"]),
    "server_overhead": (
        ["--rounds", "1", "--seconds", "0.3", "--connections", "2", "--store", "STORE"],
        ["rows", "prepare_us"],
    ),
    "ways_in": (
        ["--rounds", "1", "--seconds", "0.2", "--together", "3", "--store", "STORE", "--images", "IMAGES"],
        ["rows", "together"],
    ),
    "lone_request": (
        ["--n", "20", "--warmup", "2", "--store", "STORE", "--images", "IMAGES"],
        ["added_p50_ms", "served_ms", "in_process_ms"],
    ),
    "idle_and_memory": (
        ["--idle", "0.3", "--seconds", "0.3", "--starts", "1", "--store", "STORE", "--images", "IMAGES"],
        ["start_to_ready_s", "idle_cores", "peak_mb"],
    ),
    "augmentation": (["--repeats", "1"], ["batches"]),
    "class_activation": (["--rounds", "2"], ["rows"]),
    "overload": (
        ["--seconds", "0.5", "--rounds", "1", "--factor", "0.2", "--store", "STORE", "--images", "IMAGES"],
        ["capacity_per_s", "goodput_per_s", "admitted_p99_s"],
    ),
    "streams": (
        ["--seconds", "0.5", "--rounds", "1", "--streams", "2", "--store", "STORE", "--images", "IMAGES"],
        ["rows", "fps"],
    ),
    "calibration_memory": (
        ["--network", "grey28_small", "--side", "16", "--pictures", "4", "8"],
        ["rows", "ratio"],
    ),
    "engines": (
        ["mean_colour", "--parent", "mean_colour", *STORED, "--backends", "onnxruntime", *BRIEF],
        ["rows", "parent_on"],
    ),
    "pruned_speed": (
        ["--networks", "grey28_small", "--backends", "onnxruntime", "--seconds", "0.05", "--round-to", "8"],
        ["rows", "round_to"],
    ),
    "faster_kernels": (
        ["--models", "--networks", "grey28_small", "--side", "16", "--backends", "onnxruntime", "--seconds", "0.05"],
        ["rows", "round_to"],
    ),
    "int8_lite0": (["--engines", "onnxruntime", *BRIEF], ["rows"]),
    "sparse_storage": (["--network", "grey28_small", "--shares", "0.5", "--rounds", "2"], ["rows", "side"]),
    "capacity": (
        ["--measure", "--seconds", "1", "--store", "STORE", "--cores", "2", "--p99", "100000", "--rates", "5"],
        ["times", "tables"],
    ),
    "plan_holds": (
        ["--seconds", "0.5", "--measure-seconds", "0.5", "--rounds", "1", "--p99", "30000", *ONE_STEP, *HERE],
        ["rows", "rounds"],
    ),
    "scrape_cost": (
        ["--seconds", "2", "--rounds", "1", "--connections", "2", "--store", "STORE", "--images", "IMAGES"],
        ["scrape_ms", "p99_ms", "p99_scraped_ms"],
    ),
    "metrics_truth": (
        ["--seconds", "5", "--rounds", "1", "--rate", "20", "--store", "STORE", "--images", "IMAGES"],
        ["rounds", "rate_per_s"],
    ),
    "tracing_cost": (["--seconds", "0.3", "--rounds", "1", "--connections", "2"], ["rows", "connections"]),
    "gpu": (
        [
            *("--device", "cpu", "--network", "grey28_small", "--sizes", "1", "2", "--modes", "eager"),
            *("--seconds", "0.2", "--images", "IMAGES"),
        ],
        ["probe", "engine", "decode", "preprocess", "server"],
    ),
    "stream_overload": (["--seconds", "1", "--rounds", "1", "--streams", "3"], ["rounds"]),
}
NEEDS = {"metrics_truth": pytest.mark.needs_prometheus}


@pytest.mark.slow
@pytest.mark.parametrize("name", [pytest.param(name, marks=NEEDS.get(name, ())) for name in PROGRAMS])
def test_a_program_prints_its_machine_and_its_figures(name: str, tmp_path: Path) -> None:
    store, images = tmp_path / "store", tmp_path / "images"
    write_mean_colour(store)
    images.mkdir()
    Image.new("RGB", (64, 48), (200, 10, 10)).save(images / "red.jpg")
    words, figures = PROGRAMS[name]
    places = {"STORE": str(store), "IMAGES": str(images)}
    command = [sys.executable, "-m", f"benchmarks.{name}", "--json", *(places.get(word, word) for word in words)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["machine"]["cores"] >= 1
    assert 0 <= found["machine"]["taken"] <= 1
    assert found["machine"]["versions"]["python"]
    assert all(found[figure] for figure in figures)
