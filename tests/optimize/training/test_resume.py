"""``kill -9`` at any moment, then the same command: the same metrics and the same model, byte for byte."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from optimize.training.checkpoint_names import checkpoints
from optimize.training.recipe_file import to_toml
from optimize.training.run_folder import RunFolder
from tests.optimize.training.small_runs import small_recipe, write_stripes

EPOCHS = 6
# All that remembers: an average, an optimiser's state, a plateau, early stopping's count, dropout, mixing, a term.
TABLES = {
    "augment": ["flip", {"name": "crop", "padding": 1}],
    "mix": ["mixup"],
    "schedule": {"name": "plateau", "patience": 0, "gamma": 0.5},
    "train": {
        "epochs": EPOCHS,
        "ema": 0.9,
        "keep": "best",
        "accumulate": 2,
        "reestimate_batch_norm": 2,
        "clip_norm": 1.0,
    },
    "model": {"drop_path": 0.1},
    "transfer": {"name": "gradual", "until": 0.6, "keep_frozen": 1},
}


def command(recipe: Path, out: Path) -> list[str]:
    return [sys.executable, "-m", "quickeye", "train", str(recipe), "--out", str(out)]


def products(out: Path) -> dict[str, bytes]:
    """All that depends on no clock."""
    folder = RunFolder(out)
    bundle = folder.store / "stripes" / "1"
    paths = [folder.metrics, folder.recipe, folder.data, folder.predictions("val")]
    paths += [bundle / name for name in ("model.onnx", "weights.safetensors", "check.npz", "manifest.json", "CARD.md")]
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in paths}


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recipe")
    pictures = write_stripes(folder / "stripes", each=24)
    (folder / "stripes.toml").write_text(to_toml(small_recipe(pictures, **TABLES)), encoding="utf-8")
    return folder / "stripes.toml"


@pytest.fixture(scope="module")
def unbroken(recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("unbroken") / "run"
    subprocess.run(command(recipe, out), check=True, timeout=280, capture_output=True)
    return products(out)


def killed_while(words: list[str], is_time: "callable[[], bool]") -> int:  # type: ignore[valid-type]
    """Start it, kill it when ``is_time``; its exit code."""
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and not is_time():
            time.sleep(0.002)
        process.kill()
        return process.wait(timeout=60)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_killed_again_and_again_it_comes_to_the_same(
    recipe: Path, unbroken: dict[str, bytes], tmp_path: Path, seed: int
) -> None:
    out, draw = tmp_path / "run", random.Random(seed)
    folder = RunFolder(out)
    killed = 0
    for epoch in sorted(draw.sample(range(EPOCHS + 1), 3)):
        wait_s = draw.uniform(0, 0.3)
        seen = float("inf")

        def is_time(epoch: int = epoch, wait_s: float = wait_s) -> bool:
            nonlocal seen
            saved = checkpoints(folder.checkpoints)
            if folder.state.exists() and (epoch == 0 or (saved and int(saved[-1].stem[6:]) >= epoch)):
                seen = min(seen, time.monotonic())
            return time.monotonic() > seen + wait_s

        killed += killed_while(command(recipe, out), is_time) == -signal.SIGKILL
    subprocess.run(command(recipe, out), check=True, timeout=280, capture_output=True)

    assert killed == 3
    again = products(out)
    assert [name for name in unbroken if again[name] != unbroken[name]] == []


@pytest.mark.slow
def test_killed_while_it_finishes_it_comes_to_the_same(
    recipe: Path, unbroken: dict[str, bytes], tmp_path: Path
) -> None:
    out = tmp_path / "run"
    folder = RunFolder(out)
    for is_time in (folder.predictions("val").exists, (out / ".store-making").exists, folder.store.exists):
        assert killed_while(command(recipe, out), is_time) == -signal.SIGKILL
    done = subprocess.run(command(recipe, out), check=True, timeout=280, capture_output=True, text=True)

    assert f"going on after epoch {EPOCHS} of {EPOCHS}" in done.stderr
    assert products(out) == unbroken
    assert not (out / ".store-making").exists()


@pytest.mark.slow
def test_ctrl_c_says_how_to_go_on(recipe: Path, unbroken: dict[str, bytes], tmp_path: Path) -> None:
    out = tmp_path / "run"
    folder = RunFolder(out)
    words = command(recipe, out)
    # What starts the tests may have Ctrl-C switched off, as a shell does for what runs in the background.
    listening = (
        "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])"
    )
    heard = [sys.executable, "-c", listening, *words]
    with subprocess.Popen(heard, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None and not checkpoints(folder.checkpoints):
            time.sleep(0.002)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=200)

    assert process.returncode == 130
    assert "interrupted; the same command goes on after epoch" in said
    subprocess.run(words, check=True, timeout=280, capture_output=True)
    assert products(out) == unbroken


@pytest.mark.slow
def test_a_damaged_checkpoint_is_told_and_the_one_before_serves(
    recipe: Path, unbroken: dict[str, bytes], tmp_path: Path
) -> None:
    out = tmp_path / "run"
    folder = RunFolder(out)
    killed_while(command(recipe, out), lambda: len(checkpoints(folder.checkpoints)) == 2)
    last = checkpoints(folder.checkpoints)[-1]
    data = bytearray(last.read_bytes())
    data[len(data) // 2] ^= 255
    last.write_bytes(data)

    refused = subprocess.run(command(recipe, out), timeout=280, capture_output=True, text=True)

    assert refused.returncode == 1
    assert f"{last.name} is damaged" in refused.stderr
    assert f"Delete {last.name} and run the same command" in refused.stderr
    last.unlink()
    subprocess.run(command(recipe, out), check=True, timeout=280, capture_output=True)
    assert products(out) == unbroken
