"""A study's results, of run folders made by hand: what is read, and what the table calls it."""

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.trained_models import Model, Study, carry_out, command, folder
from benchmarks.trained_results import write_results
from model_zoo.architectures import build
from model_zoo.export import Provenance, export_bundle
from model_zoo.spec import ArchitectureRef, InputSpec, Resize
from model_zoo.store import Store
from optimize.judging.comparison import compare
from optimize.judging.predictions import Predictions
from optimize.training.epoch_log import TIMES
from optimize.training.run_folder import RunFolder
from tests.optimize.judging.invented import predictions

SPEC = InputSpec(28, 28, 1, "grey", Resize("stretch", 0), "none", (73.0,), (90.0,))
SMALL = Model("small", "a small one", "recipe", "test", ("train.epochs=2", "name={seed}"), seeds=(1, 2))
STUDY = Study("garments", (SMALL,))
OTHER = Model("other", "another", "recipe", "test")
PAIRED = Study("garments", (SMALL, OTHER), pairs=(("other", "small"),))


def finished_run(place: Path, seed: int, invented: Predictions | None = None) -> None:
    """What the results are read from."""
    run = RunFolder(place)
    (invented or predictions(200, 10, seed=seed)).save(run.predictions("test"))
    run.times.write_text(",".join(TIMES) + "\n1,80,10,50\n2,80,10,50\n", encoding="utf-8")
    run.state.write_text(json.dumps({"status": "finished"}), encoding="utf-8")
    export_bundle(
        build("grey28", 10),
        name="small",
        store=Store(run.store),
        spec=SPEC,
        labels=tuple("abcdefghij"),
        provenance=Provenance(licence="none", source="a test"),
        architecture=ArchitectureRef("grey28", {"num_classes": 10}),
    )


def test_a_table_tells_the_minutes_of_training_that_the_epochs_took(tmp_path: Path) -> None:
    """Of a run that was killed and continued too: times.csv has every epoch, whoever trained it."""
    torch.manual_seed(0)
    place = folder(tmp_path, STUDY, SMALL, 1)
    finished_run(place, 1)
    text = write_results(STUDY, [(SMALL, 1, place)], {}, tmp_path / "results")
    heading, _, row = text.splitlines()[:3]
    cells = dict(zip(heading.strip("| ").split(" | "), row.strip("| ").split(" | "), strict=True))
    assert cells["minutes of training"] == "3.0"
    assert cells["parameters"] == "98,466"
    assert (tmp_path / "results" / "garments.table.md").read_text() == text
    (run,) = json.loads((tmp_path / "results" / "garments.json").read_text())["runs"]
    assert (run["training_s"], run["epochs"], run["n"]) == (180.0, 2, 200)
    assert run["macs"] == pytest.approx(16.1e6, rel=0.005)


def test_runs_whose_folders_are_gone_stay_published_and_are_paired(tmp_path: Path) -> None:
    """The pair is McNemar's of the pictures themselves, though only one of the two runs is still there."""
    first, second = folder(tmp_path, PAIRED, SMALL, 1), folder(tmp_path, PAIRED, OTHER, 1)
    base = predictions(200, 10, seed=1)
    better = replace(base, logits=np.array(base.logits))
    truth = compare(base, base, seed=1)
    mended = np.flatnonzero(base.logits.argmax(1) != base.labels)[:9]
    better.logits[mended, base.labels[mended]] = 99.0
    finished_run(first, 1, base)
    write_results(PAIRED, [(SMALL, 1, first)], {}, tmp_path / "results")
    shutil.rmtree(first)
    finished_run(second, 1, better)
    text = write_results(PAIRED, [(OTHER, 1, second)], {}, tmp_path / "results")
    expected = compare(better, base, seed=1)
    content = json.loads((tmp_path / "results" / "garments.json").read_text())
    (pair,) = content["pairs"]
    assert [run["model"] for run in content["runs"]] == ["small", "other"]
    assert content["runs"][0]["right"] == truth.both_right
    assert (pair["only_better"], pair["only_base"]) == (expected.only_this, expected.only_other) == (9, 0)
    assert pair["p_mid"] == pytest.approx(expected.p_mid)
    assert pair["ci95"] == pytest.approx(expected.ci95)
    assert "| other − small | 1 | +4.50 |" in text
    assert "not kept" not in text


def test_pictures_that_are_not_the_same_are_not_paired(tmp_path: Path) -> None:
    first, second = folder(tmp_path, PAIRED, SMALL, 1), folder(tmp_path, PAIRED, OTHER, 1)
    finished_run(first, 1)
    finished_run(second, 1, predictions(200, 10, seed=2))
    with pytest.raises(ValueError, match="not judged on the same pictures"):
        write_results(PAIRED, [(SMALL, 1, first), (OTHER, 1, second)], {}, tmp_path / "results")


def test_settings_are_given_as_they_are(tmp_path: Path) -> None:
    assert command(STUDY, SMALL, 2, tmp_path)[-4:] == ["--set", "train.epochs=2", "--set", "name={seed}"]


@pytest.mark.parametrize(("teacher_seed", "folder_name"), [(None, "large-2"), (1, "large-1")])
def test_a_teacher_is_of_the_same_seed_or_one_for_all(
    tmp_path: Path, teacher_seed: int | None, folder_name: str
) -> None:
    taught = Model("taught", "", "taught", "test", taught_by="large", teacher_seed=teacher_seed)
    study = Study("small", (Model("large", "", "large", "test"), taught))
    assert f'teacher.sources=["{tmp_path / "small" / folder_name}"]' in command(study, taught, 2, tmp_path)


def test_finished_runs_are_not_trained_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained: list[str] = []

    def train(words: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        place = Path(words[words.index("--out") + 1])
        place.mkdir(parents=True)
        trained.append(place.name)
        return subprocess.CompletedProcess(words, 0)

    done = folder(tmp_path, STUDY, SMALL, 1)
    done.mkdir(parents=True)
    RunFolder(done).state.write_text(json.dumps({"status": "finished"}), encoding="utf-8")
    monkeypatch.setattr(subprocess, "run", train)
    carry_out(STUDY, tmp_path, None)
    assert trained == ["small-2"]
