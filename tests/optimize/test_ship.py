"""The step behind ``make bundle`` that puts a run's bundle among the shipped ones."""

import json
import shutil
from pathlib import Path

import pytest

from model_zoo.bundle import Bundle, BundleDraft
from model_zoo.manifest import Accuracy
from model_zoo.store import Store
from optimize.ship import main
from tests.optimize.commands.colour_bundle import colour_bundle


def figure(n: int) -> Accuracy:
    return Accuracy(dataset="lamps", split="test", n=n, metric="top1", value=1.0, ci95=(0.5, 1.0))


def write(store: Path, card: str, *, judged_by: int, model: bytes | None = None) -> Bundle:
    """``colours/2`` in a store of its own."""
    one = colour_bundle(store.with_name(f"{store.name}-parts"))
    draft = BundleDraft(
        name="colours",
        version=2,
        input=one.spec.input,
        labels=one.labels,
        model=model or one.read_model(),
        check=one.check(),
        card=card,
        licence="none",
        source="a test",
        accuracy=(figure(judged_by),),
    )
    shutil.rmtree(store.with_name(f"{store.name}-parts"))
    return Store(store).write(draft)


def run_of(folder: Path, bundle: Bundle, best: str | None = "int8") -> Path:
    """Where it lay when it was made is not where it lies."""
    name, version = bundle.folder.parts[-2:]
    shutil.copytree(bundle.folder, folder / "store" / name / version, dirs_exist_ok=True)
    was = f"elsewhere/store/{name}/{version}"
    result = {"best": best, "candidates": [{"name": "parent", "bundle": None}, {"name": "int8", "bundle": was}]}
    (folder / "result.json").write_text(json.dumps(result))
    return folder


def shipped_card(store: Path) -> str:
    return Store(store).open("colours", 2).read("CARD.md").decode()


def test_a_run_s_best_is_shipped_and_shipping_it_again_changes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = run_of(tmp_path / "run", write(tmp_path / "made", "new", judged_by=20))
    for _ in range(2):
        assert main([str(run), "--store", str(tmp_path / "shipped")]) == 0
        assert shipped_card(tmp_path / "shipped") == "new"
    assert "lamps test, top1: 1.0000 of 20" in capsys.readouterr().out
    assert [path.name for path in (tmp_path / "shipped" / "colours").iterdir()] == ["2"]


@pytest.mark.parametrize(("before", "stays"), [(341, True), (20, False), (10, False)])
def test_the_same_model_judged_by_more_pictures_stays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], before: int, stays: bool
) -> None:
    write(tmp_path / "shipped", "old", judged_by=before)
    run = run_of(tmp_path / "run", write(tmp_path / "made", "new", judged_by=20))
    assert main([str(run), "--store", str(tmp_path / "shipped")]) == 0
    assert shipped_card(tmp_path / "shipped") == ("old" if stays else "new")
    assert ("the same model as made here" in capsys.readouterr().out) is stays


def test_another_model_takes_the_place_whatever_the_old_one_was_judged_by(tmp_path: Path) -> None:
    import onnx

    made = write(tmp_path / "made", "new", judged_by=20)
    other = onnx.load_from_string(made.read_model())
    other.doc_string = "another"
    write(tmp_path / "shipped", "old", judged_by=341, model=other.SerializeToString())
    assert main([str(run_of(tmp_path / "run", made)), "--store", str(tmp_path / "shipped")]) == 0
    assert shipped_card(tmp_path / "shipped") == "new"


def test_what_is_not_there_to_be_shipped_is_said_and_nothing_changes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = write(tmp_path / "made", "new", judged_by=20)
    write(tmp_path / "shipped", "old", judged_by=20)
    store = ["--store", str(tmp_path / "shipped")]
    (tmp_path / "empty").mkdir()
    assert main([str(tmp_path / "empty"), *store]) == 1
    assert "no finished run of quickeye optimize" in capsys.readouterr().err
    assert main([str(run_of(tmp_path / "run", made, best=None)), *store]) == 1
    assert "no candidate kept the budget" in capsys.readouterr().err
    (tmp_path / "empty" / "result.json").write_text("{}")
    assert main([str(tmp_path / "empty"), *store]) == 1
    assert "of another kind" in capsys.readouterr().err
    (made.folder / "labels.txt").write_text("altered")
    assert main([str(run_of(tmp_path / "run", made)), *store]) == 1
    assert "labels.txt" in capsys.readouterr().err
    assert shipped_card(tmp_path / "shipped") == "old"
