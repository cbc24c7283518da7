"""``quickeye evaluate``, from the command line to its JSON: figures that are known beforehand, and clear refusals."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from model_zoo.architectures import build, input_spec
from model_zoo.export import reference_logits
from optimize.commands.evaluate import main
from optimize.data import read as reading
from optimize.data.dataset import Dataset
from optimize.data.options import DataOptions
from optimize.data.report import DataReport
from optimize.judging.agreement import wilson
from tests.optimize.commands.colour_bundle import COLOURS, colour_bundle, folder_of


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("store")
    colour_bundle(root)
    colour_bundle(root, "moved", ("blue", "red", "green"))
    return root


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten pictures, eight of them what their folder says."""
    root = tmp_path_factory.mktemp("data") / "cards"
    return folder_of(root, red=["red"] * 3 + ["blue"], green=["green"] * 4, blue=["blue", "green"])


def judged(capsys: pytest.CaptureFixture[str], *words: object) -> dict[str, object]:
    assert main([*map(str, words), "--no-latency", "--json"]) == 0
    said = capsys.readouterr()
    found: dict[str, object] = json.loads(said.out)
    return found


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_figures_are_those_that_the_pictures_give(
    store: Path, data: Path, capsys: pytest.CaptureFixture[str], backend: str
) -> None:
    found = judged(capsys, "colours", "--store", store, "--data", data, "--backend", backend)
    assert (found["top1"], found["top5"], found["n"]) == (0.8, 1.0, 10)
    assert found["ci95"] == list(wilson(8, 10))


def test_pictures_may_lie_in_installed_packages(capsys: pytest.CaptureFixture[str]) -> None:
    """The shipped model knows 17 of the 20 photos that its recipe judges it by."""
    found = judged(capsys, "efficientnet_lite0", "--data", "optimize:recipes/foolbox.csv", "--backend", "onnxruntime")
    assert (found["n"], found["top1"]) == (20, 0.85)
    assert main(["efficientnet_lite0", "--data", "no_such_package:photos"]) == 1
    assert "pip install no_such_package" in capsys.readouterr().err


def test_classes_are_matched_by_name_not_by_place(store: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert judged(capsys, "moved/1", "--store", store, "--data", data)["top1"] == 0.8


def test_a_folder_may_hold_some_of_the_classes(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    some = folder_of(tmp_path / "some", red=["red", "red"], blue=["blue", "red"])
    assert judged(capsys, "colours", "--store", store, "--data", some)["top1"] == 0.75


def test_a_bundle_s_folder_and_a_run_s_folder_are_models_too(
    store: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    colour_bundle(tmp_path / "run" / "store")
    for word in (store / "colours" / "1", tmp_path / "run"):
        assert judged(capsys, word, "--data", data)["top1"] == 0.8


def test_a_comparison_counts_who_is_right_where(store: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = judged(capsys, "colours", "--store", store, "--data", data, "--compare", "moved")
    comparison = found["comparison"]
    assert isinstance(comparison, dict)
    assert (comparison["both_right"], comparison["both_wrong"], comparison["difference"]) == (8, 2, 0)
    assert (comparison["p_exact"], comparison["same_answer"]) == (1, 1)


def test_the_pictures_of_a_comparison_are_read_once(
    store: Path, data: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[tuple[str, ...]] = []
    real = reading.read_dataset

    def counted(path: Path | str, *, classes: tuple[str, ...], options: DataOptions) -> tuple[Dataset, DataReport]:
        read.append(classes)
        return real(path, classes=classes, options=options)

    monkeypatch.setattr(reading, "read_dataset", counted)
    judged(capsys, "colours", "--store", store, "--data", data, "--compare", "moved")
    assert read == [tuple(COLOURS)]


def test_two_models_of_one_name_are_told_apart_by_what_was_typed(
    store: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    colour_bundle(tmp_path / "second" / "store")
    words = ["colours", "--store", store, "--data", data, "--compare", tmp_path / "second"]
    comparison = judged(capsys, *words)["comparison"]
    assert isinstance(comparison, dict)
    assert (comparison["this"], comparison["other"]) == ("colours", str(tmp_path / "second"))


def test_the_report_counts_the_pictures_that_were_asked_about(store: Path, data: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    words = ["colours", "--store", store, "--data", data, "--limit", 2, "--no-latency", "--report", page]
    assert main([str(word) for word in words]) == 0
    text = page.read_text(encoding="utf-8")
    assert "6 pictures. " in text.replace("\n", " ")
    assert "to validate with" not in text


def test_the_report_has_a_row_for_each_score_below_which_answers_are_unknown(
    store: Path, data: Path, tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    colour_bundle(tmp_path / "own")
    words = ["--data", data, "--no-latency", "--report", page]
    assert main([str(word) for word in ["colours", "--store", store, *words]]) == 0
    assert "unknown" not in page.read_text(encoding="utf-8")
    saved = ["colours", "--store", tmp_path / "own", *words, "--max-unknown", 50, "--save"]
    assert main([str(word) for word in saved]) == 0
    assert "<dt>with the chosen score</dt><dd>unknown below a score of " in page.read_text(encoding="utf-8")
    assert main([str(word) for word in ["colours", "--store", tmp_path / "own", *words, "--max-error", 1]]) == 1
    text = page.read_text(encoding="utf-8")
    assert "<dt>the bundle&#39;s answers</dt><dd>unknown below a score of " in text
    assert "<dt>no score chosen</dt>" in text


def test_limit_takes_the_first_of_each_class(store: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = judged(capsys, "colours", "--store", store, "--data", data, "--limit", 1)
    assert (found["n"], found["top1"]) == (3, 1.0)


def test_a_picture_that_can_t_be_decoded_is_left_out_and_told(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = folder_of(tmp_path / "torn", red=["red", "red"], blue=["blue"])
    Image.effect_noise((200, 200), 90).convert("RGB").save(root / "red" / "torn.jpg")
    whole = (root / "red" / "torn.jpg").read_bytes()
    (root / "red" / "torn.jpg").write_bytes(whole[:40])
    report = tmp_path / "page.html"
    found = judged(capsys, "colours", "--store", store, "--data", root, "--report", report)
    assert (found["n"], found["top1"]) == (3, 1.0)
    assert "torn.jpg" in report.read_text(encoding="utf-8")


def test_the_report_shows_the_mistakes_and_how_to_do_it_again(
    store: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "page.html"
    words = ["colours", "--store", str(store), "--data", str(data), "--no-latency", "--report", str(report)]
    assert main(words) == 0
    page = report.read_text(encoding="utf-8")
    assert "80.0 % of 10 cards pictures are right" in page
    assert page.count('<figure class="mistake">') == 2
    assert "No heat maps" in page
    assert "Fewer than 100 pictures" in page
    assert f"$ quickeye evaluate colours --store {store} --data {data}" in page
    said = capsys.readouterr().out
    low, high = (f"{100 * edge:.1f}" for edge in wilson(8, 10))
    assert f"top-1        80.0 %   95 % interval {low} to {high}" in said
    assert "  100.0 %   red (" not in said


def test_a_latency_is_measured_on_the_engine_that_serves(
    store: Path, data: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("optimize.commands.evaluate.LATENCY_SECONDS", 0.01)
    assert main(["colours", "--store", str(store), "--data", str(data), "--json", "--backend", "onnxruntime"]) == 0
    (one,) = json.loads(capsys.readouterr().out)["latency"]
    assert (one["model"], one["backend"], one["precision"]) == ("colours/1", "onnxruntime", "fp32")
    assert 0 < one["p50_ms"] <= one["p90_ms"]


def test_a_checkpoint_is_judged_as_torch_runs_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every figure follows from logits that torch gives in float64."""
    torch.manual_seed(0)
    network = build("grey28", 3).eval()
    save_file(network.state_dict(), tmp_path / "weights.safetensors")
    noise = np.random.default_rng(0).integers(0, 256, (9, 28, 28), np.uint8)
    for place, pixels in enumerate(noise):
        folder = tmp_path / "digits" / "abc"[place % 3]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / f"{place}.png")
    answers = reference_logits(network, input_spec("grey28"), noise[:, :, :, None]).argmax(axis=1)
    words = [tmp_path / "weights.safetensors", "--arch", "grey28", "--data", tmp_path / "digits"]
    found = judged(capsys, *words)
    assert found["top1"] == pytest.approx((answers == np.arange(9) % 3).mean())


REFUSED = {
    "no such model": (["colors"], "did you mean 'colours'"),
    "no such data": (["colours", "--data", "{tmp}/nowhere"], "there is nothing of that name"),
    "other classes": (["colours", "--data", "{tmp}/other"], "purple"),
    "no pictures": (["colours", "--data", "{tmp}/empty"], "empty"),
    "no such store": (["colours", "--store", "{tmp}/nowhere"], "there is no folder"),
    "an onnx file": (["{tmp}/model.onnx"], "quickeye models import"),
    "no architecture": (["{tmp}/weights.pth"], "--arch"),
    "not a checkpoint": (["{tmp}/notes.txt"], "no checkpoint"),
    "broken checkpoint": (["{tmp}/weights.pth", "--arch", "grey28"], "weights.pth"),
    "an unfinished run": (["{tmp}/run"], "no bundle"),
    "labels that are not there": (["{tmp}/weights.pth", "--arch", "grey28", "--labels", "{tmp}/none"], "{tmp}/none"),
    "a report in no folder that can be": (["colours", "--report", "{tmp}/notes.txt/page.html"], "page.html"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_can_t_be_is_said_with_exit_code_1(
    case: str, store: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder_of(tmp_path / "other", red=["red"], purple=["blue"])
    (tmp_path / "empty").mkdir()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "recipe.toml").write_text("")
    for name in ("model.onnx", "weights.pth", "notes.txt"):
        (tmp_path / name).write_bytes(b"nothing of the kind")
    given, said = REFUSED[case]
    words = [word.format(tmp=tmp_path) for word in given]
    for flag, value in (("--data", data), ("--store", store)):
        if flag not in words:
            words += [flag, str(value)]
    assert main([*words, "--no-latency", "--json"]) == 1
    output = capsys.readouterr()
    assert said.format(tmp=tmp_path) in output.err
    assert output.err.startswith("quickeye evaluate: ")
    assert output.out == ""


@pytest.mark.parametrize(
    "words", [[], ["colours"], ["colours", "--data", "x", "--limit", "0"], ["m", "--data", "x", "--nonsense"]]
)
def test_a_wrong_command_line_ends_with_2(words: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2


def test_the_colours_are_told_apart() -> None:
    """The test's own ground: each colour's strongest channel is its place."""
    assert [int(np.argmax(pixel)) for pixel in COLOURS.values()] == [0, 1, 2]
