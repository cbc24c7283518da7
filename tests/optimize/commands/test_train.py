"""``quickeye train``: flags, defaults, exit codes."""

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from optimize.commands.train import main
from optimize.commands.train_flags import add_flags, content_of
from optimize.training.defaults import bundle_name, default_content, looks_like_idx
from optimize.training.recipe import parse_recipe
from optimize.training.recipe_file import read_content
from tests.optimize.training.small_runs import write_stripes

QUICK = ["--arch", "grey28", "--smoke", "--set", "train.sizes=[]", "--set", "model.height=16", "--threads", "1"]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_stripes(tmp_path_factory.mktemp("photos") / "Striped Shirts", each=30)


def test_a_folder_becomes_a_bundle_and_a_report(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--data", str(photos), *QUICK, "--out", str(tmp_path / "run")]) == 0

    said = capsys.readouterr()
    assert f"quickeye serve --store {tmp_path / 'run' / 'store'}" in said.out
    assert "epoch 2/2" in said.err
    assert re.search(r"^\d+\.\d % of \d+ validation pictures are right \(95 % interval", said.out, re.MULTILINE)
    assert (tmp_path / "run" / "store" / "striped-shirts" / "1" / "model.onnx").exists()
    assert (tmp_path / "run" / "report.html").exists()

    assert main(["--data", str(photos), *QUICK, "--out", str(tmp_path / "run"), "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["was_finished"] is True
    assert again["bundle"] == str(tmp_path / "run" / "store" / "striped-shirts" / "1")
    assert 0 <= again["val_top1"] <= 1


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ([], 2, "nothing to train on"),
        (["no_such_recipe"], 2, "no recipe is named"),
        (["--data", "{photos}", "--set", "train.epohcs=1"], 2, "did you mean 'epochs'?"),
        (["--data", "{photos}", "--set", "train.epochs"], 2, "write it as key=value"),
        (["--data", "{photos}", "--arch", "resnet99"], 2, "resnet"),
        (["--data", "{photos}/absent"], 1, "absent"),
        (["--data", "{photos}/class0"], 1, "class"),
        (["--data", "{photos}", "--weights", "absent.pt", "--arch", "grey28"], 1, "absent.pt"),
    ],
)
def test_what_is_wrong_is_said_with_its_exit_code(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], code: int, said: str
) -> None:
    run = tmp_path / "run"

    assert main([*(word.format(photos=photos) for word in words), "--out", str(run)]) == code

    error = capsys.readouterr().err
    assert error.startswith("quickeye train: ")
    assert said in error
    assert "Traceback" not in error
    assert not run.exists()


def test_the_folder_of_another_recipe_fails_with_1(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--data", str(photos), *QUICK, "--out", str(tmp_path / "run")]
    assert main(words) == 0

    assert main([*words, "--seed", "7"]) == 1

    assert "seed was 1, is 7" in capsys.readouterr().err


def test_flags_change_a_recipe_s_fields(photos: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "mine.toml"
    recipe.write_text('name = "mine"\n[model]\narchitecture = "grey28"\n[train]\nepochs = 9\n', encoding="utf-8")
    out = tmp_path / "run"

    words = [str(recipe), "--data", str(photos), "--smoke", "--lr", "0.25", "--batch-size", "4", "--name", "yours"]
    assert main([*words, "--set", "train.batch_size=5", "--set", "model.height=16", "--out", str(out)]) == 0

    written = parse_recipe(read_content(str(out / "recipe.toml")))
    assert (written.name, written.optimiser.choice.lr, written.train.batch_size) == ("yours", 0.25, 5)
    assert written.train.epochs == 2


def test_shipped_recipes_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--recipes"]) == 0

    assert {"clothing", "fashion_mnist"} <= set(capsys.readouterr().out.split())


def test_help_says_what_it_does(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])

    assert ended.value.code == 0
    said = capsys.readouterr().out
    for flag in (
        "--data",
        "--val",
        "--arch",
        "--pretrained",
        "--epochs",
        "--seed",
        "--out",
        "--set",
        "--smoke",
        "--json",
    ):
        assert flag in said


def test_help_needs_no_torch() -> None:
    program = (
        "import sys, optimize.commands.train, optimize.commands.train_flags, optimize.training.recipe; "
        "print([name for name in ('torch', 'sklearn', 'matplotlib', 'optuna', 'kornia') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_the_command_keeps_freed_memory(photos: Path, tmp_path: Path) -> None:
    program = """
import sys, resource
import numpy as np
from optimize.commands.train import main
main(["--recipes"])
np.ones(2**21)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(32):
    np.ones(2**21)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    pages = 32 * 2**21 * 8 // 4096
    assert int(done.stdout.splitlines()[-1]) < pages / 20


@pytest.mark.parametrize(
    ("words", "decay"),
    [
        ([], 0.9),
        (["--no-pretrained"], None),
        (["--arch", "grey28"], None),
        (["--arch", "grey28", "--weights", "start.pt"], 0.9),
        (["--arch", "grey28", "--set", "model.weights=start.pt"], 0.9),
        (["--no-pretrained", "--set", "transfer.layer_decay=0.8"], 0.8),
    ],
)
def test_first_layers_learn_slower_only_where_weights_start_them(
    tmp_path: Path, words: list[str], decay: float | None
) -> None:
    parser = argparse.ArgumentParser()
    add_flags(parser)

    content = content_of(parser.parse_args(["--data", str(tmp_path), *words]))

    assert content["transfer"].get("layer_decay") == decay
    assert parse_recipe({**content, "name": "x"}).transfer.choice.layer_decay == (decay or 1.0)


def test_photos_start_from_published_weights_and_small_grey_pictures_from_nothing(tmp_path: Path) -> None:
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(b"")
    (tmp_path / "photos").mkdir()

    assert default_content(tmp_path / "photos")["model"]["weights"] == "pretrained"
    for idx in (tmp_path, tmp_path / "train", tmp_path / "train-images-idx3-ubyte.gz"):
        assert looks_like_idx(idx)
        assert default_content(idx)["model"]["architecture"] == "grey28"
    for path in (tmp_path / "photos", tmp_path):
        content = {**default_content(path), "name": "x", "data": {"train": str(path)}}
        assert parse_recipe(content).train.epochs > 0


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("shoes", "shoes"),
        ("shoes/train", "shoes"),
        ("My Shoes", "my-shoes"),
        ("shoes/labels.csv", "labels"),
        ("fashion-mnist/train", "fashion-mnist"),
        ("fashion-mnist/train-images-idx3-ubyte.gz", "fashion-mnist"),
    ],
)
def test_a_bundle_is_called_after_its_data(tmp_path: Path, path: str, name: str) -> None:
    place = tmp_path / path
    if "." in place.name:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()
    elif "mnist" not in path:
        place.mkdir(parents=True)

    assert bundle_name(place) == name


def test_smoke_holds_out_no_more_than_it_looks_at() -> None:
    parser = argparse.ArgumentParser()
    add_flags(parser)
    words = ["--data", "photos", "--set", "data.hold_out=1000"]
    assert content_of(parser.parse_args([*words, "--smoke"]))["data"]["hold_out"] == 8
    assert content_of(parser.parse_args(words))["data"]["hold_out"] == 1000


@pytest.mark.needs_fashion_mnist
@pytest.mark.slow
def test_the_recipe_for_fashion_mnist_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fashion_mnist", "--smoke", "--out", str(tmp_path / "run"), "--json"]) == 0

    found = json.loads(capsys.readouterr().out)
    assert np.isfinite([found["val_top1"], found["test_top1"]]).all()


@pytest.mark.needs_clothing
@pytest.mark.slow
def test_the_recipe_for_clothing_runs(clothing: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["clothing", "--data", str(clothing / "train"), "--val", str(clothing / "validation")]

    assert main([*words, "--smoke", "--set", "train.sizes=[[0.9, 64]]", "--out", str(tmp_path / "run"), "--json"]) == 0

    assert json.loads(capsys.readouterr().out)["bundle"]
