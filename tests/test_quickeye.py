"""The command line's front: help, unknown commands, and endings that are nobody's fault."""

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from quickeye import COMMANDS, main

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
