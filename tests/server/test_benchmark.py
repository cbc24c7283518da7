"""``quickeye benchmark``: what is measured, in which order, what is printed, what is remembered."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model_zoo.bundle import Bundle
from model_zoo.header import Header
from model_zoo.preprocess import prepare_reference
from server import benchmark, benchmark_run
from server.backends.errors import BackendError
from server.backends.threads import ThreadPlan
from server.backends.tuning import remembered_plan, tuning_path
from server.benchmark import best_plan, find_bundle, main
from server.benchmark_pictures import TYPICAL_SIZE, encoded_pictures
from server.benchmark_report import Report
from server.benchmark_run import Cell, Engine, Kind, measure, path_cell, run_cell, run_slice
from tests.server.fake_bundles import MeanColour, saturating

Work = Callable[[], None]


class Recorder:
    """A backend that keeps the batches it is given."""

    name = "recorder"
    device = "cpu"
    precision = "fp32"

    def __init__(self) -> None:
        self.batches: list[np.ndarray] = []

    def run(self, batch: np.ndarray, explain: bool = False) -> tuple[np.ndarray, ...]:
        self.batches.append(batch.copy())
        return (np.zeros((len(batch), 1), np.float32),)

    def close(self) -> None:
        pass


def engine(name: str = "recorder", plan: ThreadPlan | None = None) -> Engine:
    plan = plan or ThreadPlan(1, 1)
    backend = Recorder()
    backend.name = name
    return Engine(plan, (backend,) * plan.instances, name, "passed")


def cell(kind: Kind, batch: int, rate: float, latency_s: float = 0.01, of: Engine | None = None) -> Cell:
    return Cell(of or engine(), kind, batch, (), [latency_s], [rate], [0.001])


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test touches the user's remembered plans."""
    monkeypatch.setenv("QUICKEYE_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds ``mean_colour`` version 1."""
    folder = tmp_path_factory.mktemp("store")
    MeanColour().write(folder)
    return folder


@pytest.fixture
def bundle(store: Path) -> Bundle:
    return find_bundle("mean_colour", store)


def quick(store: Path, *more: str) -> list[str]:
    return ["mean_colour", "--store", str(store), "--seconds", "0.1", "--batch", "1,3", "--threads", "1", *more]


def test_json_is_all_that_stdout_has(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(quick(store, "--backend", "fake", "--backend", "onnxruntime", "--json")) == 0
    out, err = capsys.readouterr()
    report = json.loads(out)
    assert err == ""
    assert report["model"] == {"name": "mean_colour", "version": 1, "precision": "fp32"}
    assert {"cpu", "cores", "flags", "vnni", "amx", "load_before"} <= report["machine"].keys()
    assert "onnxruntime" in report["versions"]
    assert [(one["backend"], one["batch"]) for one in report["run"]] == [
        ("fake", 1),
        ("fake", 3),
        ("onnxruntime", 1),
        ("onnxruntime", 3),
    ]
    assert [(one["backend"], one["batch"], one["threads"]) for one in report["path"]] == [
        ("fake", 3, 1),
        ("onnxruntime", 3, 1),
    ]
    for one in report["run"] + report["path"]:
        assert one["images_per_s"] > 0
        assert one["cpu_ms_per_image"] >= 0
        assert one["latency_ms"]["n"] >= report["rounds"]
        assert len(one["images_per_s_rounds"]) == report["rounds"]
    assert report["tuned"] is None
    assert report["interrupted"] is False


def test_the_table_says_the_same_to_people(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(quick(store, "--backend", "fake")) == 0
    out = capsys.readouterr().out
    assert out.startswith("mean_colour version 1, fp32, input 12x16")
    assert "Engine alone" in out
    assert "Whole path in process" in out
    assert "640x480 JPEG" in out
    lines = [line.split() for line in out.splitlines() if line.startswith("fake")]
    assert [line[3] for line in lines] == ["1", "3", "3"]


def test_tuning_is_remembered_for_the_server(store: Path, bundle: Bundle, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(quick(store, "--backend", "onnxruntime", "--tune", "--json")) == 0
    out, err = capsys.readouterr()
    plan = remembered_plan(bundle)
    assert plan is not None
    assert json.loads(out)["tuned"] == {
        "backend": "onnxruntime",
        "instances": plan.instances,
        "threads": 1,
        "max_batch_size": plan.max_batch_size,
    }
    assert plan.max_batch_size in (1, 3)
    assert str(tuning_path()) in err


def test_without_tune_nothing_is_remembered(store: Path, bundle: Bundle) -> None:
    assert main(quick(store, "--backend", "fake")) == 0
    assert remembered_plan(bundle) is None
    assert not tuning_path().exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["mean_colour", "--batch", "0"], "whole number from 1"),
        (["mean_colour", "--batch", "1,,2"], "whole number from 1"),
        (["mean_colour", "--seconds", "nan"], "not a number"),
        (["mean_colour", "--backend", "tflite"], "invalid choice"),
        ([], "MODEL"),
    ],
)
def test_wrong_usage_is_2(arguments: list[str], said: str, store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([*arguments, "--store", str(store)])
    assert stopped.value.code == 2
    assert said in capsys.readouterr().err


def test_pictures_that_are_not_there_are_1(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mean_colour", "--store", str(store), "--images", "/no/such/folder"]) == 1
    assert "no such file or folder" in capsys.readouterr().err


def test_a_broken_bundle_is_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = MeanColour().write(tmp_path)
    (broken.folder / "labels.txt").write_text("changed\n")
    assert main([str(broken.folder)]) == 1
    assert "labels.txt" in capsys.readouterr().err


def test_an_engine_that_does_not_fit_is_told_and_the_others_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    MeanColour().write(tmp_path)
    original = benchmark.open_backend

    def refuse(bundle: Bundle, options: object, name: str) -> object:
        if name == "openvino":
            raise BackendError("not today")
        return original(bundle, options, name)  # type: ignore[arg-type]

    monkeypatch.setattr(benchmark, "open_backend", refuse)
    assert main(quick(tmp_path, "--backend", "openvino", "--backend", "fake", "--json")) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["refused"] == [{"backend": "openvino", "reason": "not today"}]
    assert {one["backend"] for one in report["run"]} == {"fake"}
    assert main(quick(tmp_path, "--backend", "openvino")) == 1
    assert "not today" in capsys.readouterr().err


def test_a_folder_is_a_model_too(store: Path) -> None:
    assert find_bundle(str(store / "mean_colour" / "1"), None).spec.name == "mean_colour"
    assert find_bundle("mean_colour/1", store).spec.version == 1


def test_batches_beyond_the_graphs_are_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    MeanColour(rows=2).write(tmp_path)
    arguments = ["mean_colour", "--store", str(tmp_path), "--seconds", "0.1", "--backend", "fake", "--json"]
    assert main([*arguments, "--batch", "1,2,4"]) == 0
    assert {one["batch"] for one in json.loads(capsys.readouterr().out)["run"]} == {1, 2}
    assert main([*arguments, "--batch", "8"]) == 1
    assert "at most 2" in capsys.readouterr().err


def test_engines_take_turns_and_turn_round(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float] = []

    def once(work: tuple[Work, ...], seconds: float) -> tuple[list[float], float]:
        asked.append(seconds)
        work[0]()
        return [0.5, 0.5], 2.0

    monkeypatch.setattr(benchmark_run, "run_slice", once)
    turns: list[str] = []
    cells = [Cell(engine(), "run", 4, (lambda name=name: turns.append(name),)) for name in "abc"]
    slices: list[tuple[int, int]] = []
    assert measure(cells, 600.0, rounds=2, on_slice=lambda *done: slices.append(done)) == 2
    assert "".join(turns) == "abc" + "abc" + "cba", "warmed up once, then there and back"
    assert asked == [0.0] * 3 + [100.0] * 6
    assert slices == [(number, 6) for number in range(1, 7)]
    assert cells[0].latencies_s == [0.5] * 4
    assert cells[0].rates == [4.0, 4.0], "two batches of four in two seconds"


def test_a_slow_model_ends_after_the_first_whole_round() -> None:
    turns: list[str] = []
    cells = [Cell(engine(), "run", 1, (lambda name=name: turns.append(name),)) for name in "abc"]
    assert measure(cells, 1e-9, rounds=3) == 1
    assert [len(one.rates) for one in cells] == [1, 1, 1]
    assert turns[:3] == ["a", "b", "c"]


def test_every_instance_works_and_every_run_counts() -> None:
    done: list[int] = []
    latencies_s, elapsed_s = run_slice([lambda: done.append(1), lambda: done.append(2)], 0.0)
    assert sorted(done) == [1, 2]
    assert len(latencies_s) == 2
    assert elapsed_s > 0


def test_a_fault_ends_the_slice_of_all() -> None:
    def fail() -> None:
        raise BackendError("broke")

    with pytest.raises(BackendError, match="broke"):
        run_slice([fail, lambda: None], 60.0)


def test_an_interrupt_keeps_what_was_measured(
    store: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    original = benchmark.measure

    def interrupted(cells: list[Cell], seconds: float, **rest: object) -> int:
        original(cells, seconds)
        raise KeyboardInterrupt

    monkeypatch.setattr(benchmark, "measure", interrupted)
    assert main(quick(store, "--backend", "fake", "--tune", "--json")) == 130
    report = json.loads(capsys.readouterr().out)
    assert report["interrupted"] is True
    assert report["rounds"] >= 1
    assert report["tuned"] is None


def test_a_report_of_nothing_can_be_printed(bundle: Bundle) -> None:
    empty = Cell(engine(), "run", 1, ())
    report = Report(bundle, [empty], [], "none", 1.0, 0, interrupted=True)
    assert "interrupted" in report.as_text()
    assert json.loads(json.dumps(report.as_json()))["run"][0]["latency_ms"] is None


def test_the_engine_alone_gets_the_check_pictures(bundle: Bundle) -> None:
    one = engine()
    run_cell(one, bundle, 6).work[0]()
    recorder = one.instances[0]
    assert isinstance(recorder, Recorder)
    pictures = bundle.check().pictures
    np.testing.assert_array_equal(recorder.batches[0], np.concatenate([pictures, pictures[:2]]))


def test_the_path_decodes_and_prepares(bundle: Bundle) -> None:
    one = engine()
    pictures, _ = encoded_pictures(bundle, None)
    work = path_cell(one, bundle, 3, pictures).work[0]
    work()
    work()
    recorder = one.instances[0]
    assert isinstance(recorder, Recorder)
    prepared = np.concatenate(recorder.batches)
    for row, turn in enumerate([0, 1, 2, 3, 0, 1]):
        data, header = pictures[turn]
        expected = prepare_reference(data, header, bundle.spec.input)
        assert np.abs(prepared[row].astype(int) - expected).mean() < 3


def test_made_pictures_are_of_camera_size(bundle: Bundle) -> None:
    pictures, said = encoded_pictures(bundle, None)
    assert [(header.width, header.height, header.format) for _, header in pictures] == [(*TYPICAL_SIZE, "jpeg")] * 4
    assert said.startswith("4 check pictures as 640x480 JPEG")


def test_grey_models_have_pictures_too(tmp_path: Path) -> None:
    pictures, _ = encoded_pictures(MeanColour(channels=1).write(tmp_path), None)
    assert len(pictures) == 4


def test_own_pictures_are_used_and_broken_ones_left_out(bundle: Bundle, tmp_path: Path) -> None:
    target = io.BytesIO()
    Image.new("RGB", (30, 20), "red").save(target, "PNG")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a.png").write_bytes(target.getvalue())
    (tmp_path / "b.jpg").write_bytes(b"not a picture")
    (tmp_path / "notes.txt").write_text("not a picture either")
    pictures, said = encoded_pictures(bundle, tmp_path)
    assert [header for _, header in pictures] == [Header("png", 30, 20, 1)]
    assert said.endswith("1 left out")


def test_a_folder_without_pictures_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "b.jpg").write_bytes(b"not a picture")
    with pytest.raises(ValueError, match="no picture to measure with"):
        encoded_pictures(bundle, tmp_path)


def test_the_plan_that_answers_most_is_chosen() -> None:
    slow, fast = engine("onnxruntime", ThreadPlan(1, 2)), engine("openvino", ThreadPlan(2, 1))
    cells = [
        *(cell("run", 1, 50, of=slow), cell("run", 8, 100, of=slow), cell("path", 8, 60, of=slow)),
        *(cell("run", 1, 90, of=fast), cell("run", 4, 119, of=fast), cell("run", 8, 120, of=fast)),
        cell("path", 8, 80, of=fast),
    ]
    plan = best_plan(cells)
    assert (plan.backend, plan.instances, plan.threads) == ("openvino", 2, 1)
    assert plan.max_batch_size == 4, "eight at once gain less than 3 %"


def test_among_equals_the_quickest_for_one_picture_is_chosen() -> None:
    late, prompt = engine("onnxruntime", ThreadPlan(2, 1)), engine("onnxruntime", ThreadPlan(1, 2))
    cells = [
        *(cell("run", 1, 100, 0.010, late), cell("path", 1, 80, of=late)),
        *(cell("run", 1, 99, 0.006, prompt), cell("path", 1, 79, of=prompt)),
    ]
    assert best_plan(cells).threads == 2


def test_int8_bundles_are_measured_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saturating(tmp_path)
    arguments = ["saturating", "--store", str(tmp_path), "--seconds", "0.1", "--batch", "1", "--backend", "onnxruntime"]
    assert main([*arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["run"][0]["precision"] == "int8"
