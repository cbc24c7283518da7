"""The serving environment as a stranger gets it: installed from scratch, not from this folder, and small."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import skimage

ROOT = Path(__file__).parents[1]
MAX_MB = 450
PHOTO = Path(skimage.__file__).parent / "data" / "coffee.png"


def run(*words: str | Path, folder: Path) -> str:
    clean = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(
        [str(word) for word in words], cwd=folder, env=clean, capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_light_environment_is_small_and_serves_without_torch(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    environment = tmp_path / "light"
    source = tmp_path / "source"  # a copy: building leaves folders behind
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(".*", "build", "*.egg-info", "__pycache__"))
    run(sys.executable, "-m", "venv", environment, folder=tmp_path)
    python = environment / "bin" / "python"
    run(python, "-m", "pip", "install", "-q", "-c", ROOT / "constraints.txt", f"{source}[cpu]", folder=tmp_path)
    size_mb = int(run("du", "-sm", environment, folder=tmp_path).split()[0])
    record_property("note", f"the cpu environment has {size_mb} MB; {MAX_MB} MB are allowed")
    assert size_mb <= MAX_MB
    absent = "import importlib.util as u; print([m for m in ('torch', 'openvino', 'scipy') if u.find_spec(m)])"
    assert run(python, "-c", absent, folder=tmp_path).strip() == "[]"
    (result,) = json.loads(run(environment / "bin" / "quickeye", "predict", PHOTO, "--json", folder=tmp_path))
    assert result["predictions"][0]["label"] == "espresso"
    where = "import model_zoo, server.app, server.routes.playground as p; print(model_zoo.__file__, p.PAGE.is_file())"
    place, page = run(python, "-c", where, folder=tmp_path).split()
    assert (place.startswith(str(environment)), page) == (True, "True")
