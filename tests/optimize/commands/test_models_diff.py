"""``quickeye models diff``: what the files of two bundles say, and whether they answer alike."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from model_zoo.store import Store
from quickeye import run
from tests.model_zoo.drafts import draft, store_of_three
from tests.optimize.commands.colour_bundle import colour_bundle, folder_of

Output = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """means/1, an INT8 means/2 with figures, a broken other/1, and two that tell colours apart."""
    store = store_of_three(tmp_path_factory.mktemp("store"))
    right = colour_bundle(store.root)
    store.write(
        draft(
            name="reversed",
            input=right.spec.input,
            labels=("green", "red", "blue"),
            model=right.read_model(),
            check=right.check(),
        )
    )
    return store


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten pictures; ``colours`` is right of all but one."""
    root = tmp_path_factory.mktemp("data") / "cards"
    return folder_of(root, red=["red"] * 4, green=["green"] * 3, blue=["blue", "blue", "red"])


def diff(*words: object) -> int:
    """The exit code, as the shell would see it."""
    try:
        return run(["models", "diff", *map(str, words)])
    except SystemExit as ended:
        return int(ended.code or 0)


def told(capsys: Output, *words: object) -> dict[str, Any]:
    assert diff(*words, "--json") == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_fields_that_differ_and_no_others(store: Store, capsys: Output) -> None:
    found = told(capsys, "means/1", "means/2", "--store", store.root)
    assert found["models"] == ["means/1", "means/2"]
    differences = found["differences"]
    assert differences["precision"] == ["fp32", "int8"]
    assert differences["labels.2"] == ["blue", "violet"]
    assert differences["lineage.parent"] == [None, "means/1"]
    assert differences["accuracy.d/val/top1.value"] == [None, 0.85]
    assert differences["files.labels.txt.bytes"] == [15, 17]
    assert not [field for field in differences if field.startswith(("input", "files.model.onnx", "version"))]
    assert found["beside"] is None
    assert diff("means/1", "means/1", "--store", store.root) == 0
    assert "no difference" in capsys.readouterr().out


def test_facts_of_both_whether_they_differ_or_not(store: Store, capsys: Output) -> None:
    first, second = told(capsys, "means/1", "colours", "--store", store.root)["facts"]
    assert (first["macs"], first["in_integers"]) == (None, None), "a mean has no layer that multiplies"
    assert (second["macs"], second["in_integers"]) == (9, 0), "three logits of three means, in float"
    assert (second["input"], second["classes"], second["unknown_below"]) == ("16×16 rgb", 3, None)
    assert diff("means/1", "means/2", "--store", store.root) == 0
    said = capsys.readouterr().out
    assert "6.5 ms, 150 images/s, batch 1, openvino, 1 thread, a cpu" in said
    assert "top1 0.8500 on d val (20)" in said
    assert diff("means/1", "colours", "--store", store.root) == 0
    said = capsys.readouterr().out
    assert "FIELD" in said
    assert said.count("colours/1") == 2, "both tables call it by name and version"
    assert any(line.split() == ["multiply-adds", "not", "known", "9"] for line in said.splitlines())


def test_without_the_runtime_all_but_its_own_fact_is_told(
    store: Store, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where no extra is installed."""
    for name in [name for name in sys.modules if name.partition(".")[0] in ("onnxruntime", "scipy", "sklearn")]:
        monkeypatch.delitem(sys.modules, name)
    for name in ("onnxruntime", "scipy", "sklearn"):
        monkeypatch.setitem(sys.modules, name, None)
    _, second = told(capsys, "means/1", "colours", "--store", store.root)["facts"]
    assert (second["macs"], second["in_integers"]) == (9, None)


def test_on_pictures_the_second_is_told_beside_the_first(store: Store, data: Path, capsys: Output) -> None:
    """``reversed`` takes red for green and green for red: it is right of the two blue ones alone."""
    words = ["colours", "reversed", "--store", store.root, "--data", data]
    beside = told(capsys, *words)["beside"]
    comparison = beside["comparison"]
    assert (comparison["this"], comparison["other"], comparison["n"]) == ("reversed/1", "colours/1", 10)
    assert (comparison["only_this"], comparison["only_other"]) == (0, 7)
    assert comparison["difference"] == pytest.approx(-0.7)
    assert comparison["p_exact"] == pytest.approx(2 * 0.5**7)
    assert comparison["same_answer"] == pytest.approx(0.2)
    changes = {(one["label"], one["predicted"]): (one["other"], one["this"]) for one in beside["confusions"]}
    assert changes == {
        ("red", "green"): (0, 4),
        ("green", "red"): (0, 3),
        ("blue", "red"): (1, 0),
        ("blue", "green"): (0, 1),
    }
    assert beside["flipped"] == len(beside["flips"]) == 8
    assert beside["flips"][-1] == {"identifier": "cards/blue/2.png", "label": "blue", "other": "red", "this": "green"}
    assert beside["other_honesty"]["ece"]["value"] < beside["honesty"]["ece"]["value"]
    assert diff(*words) == 0
    said = capsys.readouterr().out
    lines = [line.split() for line in said.splitlines()]
    assert ["right", "90.00%", "20.00%"] in lines
    assert ["alone", "right", "7", "0"] in lines
    assert all(
        word in said for word in ("McNemar", "Tango", "same answer", "calibration error", "answers that changed")
    )


def test_a_model_beside_itself_differs_in_nothing(store: Store, data: Path, capsys: Output) -> None:
    folder = store.folder("colours")
    beside = told(capsys, folder, "colours", "--store", store.root, "--data", data, "--limit", 2)["beside"]
    assert (beside["comparison"]["n"], beside["comparison"]["p_mid"]) == (6, 1)
    assert (beside["flips"], beside["confusions"], beside["logits"][0]) == ([], [], 0)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["means/1", "other"], "CARD.md"),
        (["means/1", "maens"], "did you mean 'means'"),
        (["colours", "reversed", "--data", "nowhere"], "nothing of that name"),
    ],
)
def test_failures_say_why(store: Store, data: Path, capsys: Output, words: list[str], reason: str) -> None:
    named = [str(data) if word == "DATA" else word for word in words]
    code = diff(*named, "--store", store.root)
    said = capsys.readouterr()
    assert (code, said.out) == (1, "")
    assert reason in said.err


def test_bundles_of_other_classes_have_their_facts_told_and_no_answers(
    store: Store, data: Path, capsys: Output
) -> None:
    words = ["colours", "means", "--store", str(store.root), "--data", str(data)]
    assert diff(*words) == 1
    said = capsys.readouterr()
    assert (
        "colours/1 and means/2 know other classes: colours/1 alone knows 'blue'; means/2 alone knows 'violet'"
        in said.err
    )
    assert "labels.2" in said.out
    assert diff(*words, "--json") == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["beside"], found["models"]) == (None, ["colours/1", "means/2"])


def test_pictures_are_read_once_for_both(
    store: Store, data: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    import optimize.data.read

    reads: list[object] = []
    real = optimize.data.read.read_dataset

    def counting(*words: Any, **named: Any) -> Any:  # noqa: ANN401
        reads.append(words)
        return real(*words, **named)

    monkeypatch.setattr(optimize.data.read, "read_dataset", counting)
    told(capsys, "colours", "reversed", "--store", store.root, "--data", data)
    assert len(reads) == 1


@pytest.mark.parametrize("words", [[], ["means"], ["a", "b", "--limit", "0"], ["a", "b", "--nope"]])
def test_wrong_usage_is_two(words: list[str], capsys: Output) -> None:
    assert diff(*words) == 2
    assert "usage: quickeye models diff" in capsys.readouterr().err
