"""yamllint takes every YAML file of the project, by the rules in .yamllint."""

import subprocess
import sys
from pathlib import Path

from tests.docs.pages import ROOT


def yamllint(*words: str | Path) -> tuple[int, str]:
    command = [sys.executable, "-m", "yamllint", "--strict", "--config-file", str(ROOT / ".yamllint"), *map(str, words)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False)
    return done.returncode, done.stdout + done.stderr


def test_every_file_is_tidy() -> None:
    assert yamllint("deploy", "tests") == (0, "")


def test_the_files_are_found() -> None:
    command = [sys.executable, "-m", "yamllint", "--list-files", "--config-file", ".yamllint", "deploy", "tests"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, check=True).stdout
    for name in ("compose.yaml", "envoy.yaml", "values.yaml", "Chart.yaml", "alerts.yml", "prometheus.yml"):
        assert f"/{name}" in listed


def test_a_key_that_stands_twice_is_found(tmp_path: Path) -> None:
    file = tmp_path / "twice.yml"
    file.write_text("a: 1\na: 2\n")
    code, said = yamllint(file)
    assert code != 0
    assert "key-duplicates" in said
