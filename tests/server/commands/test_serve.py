"""``quickeye serve``: flags, refusals, and what it says when it is ready."""

import signal
import socket
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

import server.commands.serve_store as serve_command
from server.commands.config_flags import flag_of
from server.commands.serve import main
from server.commands.serve_store import welcome
from server.config import Config
from tests.server.commands.called import called

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in fields(Config):
        monkeypatch.delenv(f"QUICKEYE_{name.name.upper()}", raising=False)


def test_help_has_every_setting_with_its_meaning(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = called(main, capsys, "--help")
    assert code == 0
    words = " ".join(out.split())
    for each in fields(Config):
        assert flag_of(each.name) in words
        assert " ".join(each.metadata["help"].split()) in words.replace("- ", "-"), each.name


@pytest.mark.parametrize("flag", ["--rate-limit-per-s", "--max-images-per-request"])
def test_so_many_per_something_is_asked_for_as_a_number(capsys: pytest.CaptureFixture[str], flag: str) -> None:
    assert f"  {flag} N" in called(main, capsys, "--help")[1]


@pytest.mark.parametrize(
    "flag", ["--store", "--model", "--host", "--port", "--device", "--backend", "--workers", "--config"]
)
def test_flags_that_other_tools_rely_on_keep_their_names(capsys: pytest.CaptureFixture[str], flag: str) -> None:
    assert f"  {flag} " in called(main, capsys, "--help")[1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--prot", "1"], "--prot"),
        (["--port", "seventy"], 'port = "seventy"'),
        (["--device", "tpu"], "--device"),
        (["--workers", "2"], "workers"),
        (["--api-key", "clé"], "plain ASCII"),
        (["--backend", "bogus"], "no backend 'bogus'; there are: auto, onnxruntime"),
        (["--config", "/nowhere/quickeye.toml"], "cannot read /nowhere/quickeye.toml"),
        (["surplus"], "surplus"),
    ],
)
def test_a_bad_command_line_is_exit_code_2(
    capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    code, out, err = called(main, capsys, *arguments)
    assert (code, out) == (2, "")
    assert words in err
    assert "Traceback" not in err


def test_a_taken_port_is_exit_code_1(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve_command, "set_up_logs", lambda log_format, level: None)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        code, out, err = called(main, capsys, "--port", port)
    assert (code, out) == (1, "")
    assert f"cannot listen on 127.0.0.1:{port}" in err


# The signal comes while this module is looked for; the rest of the start never happens.
STOPPED_AT = """
import os, signal, sys

class Stop:
    def find_spec(self, name, path=None, target=None):
        if name == sys.argv[1]:
            os.kill(os.getpid(), signal.SIGTERM)

sys.meta_path.insert(0, Stop())
import quickeye
sys.exit(quickeye.main(["serve", "--port", "0"]))
"""


@pytest.mark.parametrize("module", ["server.commands.serve_store", "pydantic", "fastapi", "uvicorn", "uvloop"])
def test_sigterm_while_it_starts_is_exit_code_0_and_one_line(module: str) -> None:
    command = [sys.executable, "-c", STOPPED_AT, module]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "quickeye serve: stopped by SIGTERM before it served\n"


def test_the_signal_is_given_back(capsys: pytest.CaptureFixture[str]) -> None:
    before = signal.getsignal(signal.SIGTERM)
    assert called(main, capsys, "--no-such-flag")[0] == 2
    assert signal.getsignal(signal.SIGTERM) is before


def test_the_command_imports_nothing_heavy_before_it_takes_the_signal() -> None:
    code = "import sys, server.commands.serve; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not {"numpy", "pydantic", "fastapi", "uvicorn", "orjson"} & set(done.stdout.split())


class _Catalogue:
    def served(self) -> list[object]:
        return []


class _Service:
    catalogue = _Catalogue()


class _App:
    service = _Service()


@pytest.mark.parametrize(
    ("host", "address"),
    [("127.0.0.1", "http://127.0.0.1:81"), ("0.0.0.0", "http://127.0.0.1:81"), ("::1", "http://[::1]:81"), ("::", "http://127.0.0.1:81")],
)  # fmt: skip
def test_the_welcome_shows_an_address_that_can_be_opened(
    capsys: pytest.CaptureFixture[str], host: str, address: str
) -> None:
    welcome(_App(), host, 81)  # type: ignore[arg-type]
    caught = capsys.readouterr()
    assert caught.out == "", "stdout is for data"
    assert f"{address}/ " in caught.err
    assert f"curl --data-binary @photo.jpg {address}/v1/predict" in caught.err
