"""The command line's front: help, unknown commands, and endings that are nobody's fault."""

import errno
import os
import subprocess
import sys
import tomllib
from importlib import import_module
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from quickeye import COMMANDS, main
from server.commands import version
from server.commands.ending import ended

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_there_and_documented(name: str) -> None:
    module, _, function = COMMANDS[name][0].partition(":")
    assert callable(getattr(import_module(module), function))
    assert COMMANDS[name][1]


@pytest.mark.parametrize(("words", "code"), [(["--help"], 0), (["-h"], 0), (["help"], 0), ([], 2)])
def test_help_lists_every_command(capsys: pytest.CaptureFixture[str], words: list[str], code: int) -> None:
    assert main(words) == code
    out = capsys.readouterr().out
    assert all(f"  {name} " in out for name in COMMANDS)


def test_an_unknown_command_is_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fly"]) == 2
    caught = capsys.readouterr()
    assert caught.out == ""
    assert "no command 'fly'" in caught.err


def test_an_interrupted_command_is_exit_code_130(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(arguments: list[str]) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("server.commands.config.main", interrupted)
    assert main(["config"]) == 130
    assert capsys.readouterr().err == "interrupted\n"


@pytest.mark.parametrize("flag", ["--version", "-V"])
def test_the_version_is_the_package_s(capsys: pytest.CaptureFixture[str], flag: str) -> None:
    assert main([flag]) == 0
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert capsys.readouterr().out == f"quickeye {project['version']}\n"


def test_a_folder_that_was_never_installed_has_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(version, "version", absent)
    assert version.installed_version() == "(not installed)"


def test_the_version_imports_nothing_heavy() -> None:
    code = "import sys, quickeye; quickeye.main(['--version']); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not {"numpy", "pydantic", "fastapi", "onnx", "torch"} & set(done.stdout.split())


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("words", ["--help", "--version", "config show", "config show --json", "models list"])
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, as Linux has it")
def test_a_full_disk_is_one_line_and_exit_code_1(words: str, unbuffered: str) -> None:
    command = [sys.executable, "-m", "quickeye", *words.split()]
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(command, cwd=ROOT, env=environment, stdout=full, stderr=subprocess.PIPE, timeout=60)
    assert (done.returncode, done.stderr.decode()) == (
        1,
        f"quickeye: cannot write the output: {os.strerror(errno.ENOSPC)}\n",
    )


def test_output_that_was_closed_before_is_no_error() -> None:
    """As ``quickeye --version >&-``: the interpreter has no stdout at all then."""
    command = ["sh", "-c", 'exec "$@" >&-', "sh", sys.executable, "-m", "quickeye", "--version"]
    done = subprocess.run(command, cwd=ROOT, stderr=subprocess.PIPE, timeout=60)
    assert (done.returncode, done.stderr) == (0, b"")


def test_another_fault_of_the_system_is_not_hidden() -> None:
    def command() -> int:
        raise PermissionError(errno.EACCES, "Permission denied", "/x")

    with pytest.raises(PermissionError):
        ended(command)


@pytest.mark.parametrize("words", ["config show", "--help", "serve --help"])
def test_output_that_nobody_reads_is_no_error(words: str) -> None:
    """As ``quickeye config show | true``: the reader has gone before a line was written."""
    command = [sys.executable, "-m", "quickeye", *words.split()]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        process.wait(60.0)
