"""A study's results, of run folders made by hand: what is read, and what the table calls it."""

import json
import subprocess
from pathlib import Path

import pytest
import torch

from benchmarks.trained_models import Model, Study, carry_out, command, folder
from benchmarks.trained_results import write_results
from model_zoo.architectures import build
from model_zoo.export import Provenance, export_bundle
from model_zoo.spec import ArchitectureRef, InputSpec, Resize
from model_zoo.store import Store
from optimize.training.epoch_log import TIMES
from optimize.training.run_folder import RunFolder
from tests.optimize.judging.invented import predictions

SPEC = InputSpec(28, 28, 1, "grey", Resize("stretch", 0), "none", (73.0,), (90.0,))
SMALL = Model("small", "a small one", "recipe", "test", ("train.epochs=2", "name={seed}"), seeds=(1, 2))
STUDY = Study("garments", (SMALL,))


def finished_run(place: Path, seed: int) -> None:
    """What the results are read from."""
    run = RunFolder(place)
    predictions(200, 10, seed=seed).save(run.predictions("test"))
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


def test_settings_are_given_as_they_are(tmp_path: Path) -> None:
    assert command(STUDY, SMALL, 2, tmp_path)[-4:] == ["--set", "train.epochs=2", "--set", "name={seed}"]


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
