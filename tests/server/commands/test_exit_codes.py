"""One rule for every command: what is not there is 1 (failed); a command line that is wrong in itself is 2 (usage)."""

from pathlib import Path

import pytest

import quickeye
import server.commands.serve_store as serve_command
from tests.server.commands.called import called
from tests.server.mean_colour import write_mean_colour

# Every command that names a model of a store; MODEL stands for the name.
NAMING = (
    "predict photo.jpg --model MODEL",
    "models show MODEL",
    "models verify MODEL",
    "models diff MODEL mean_colour",
    "models diff mean_colour MODEL",
    "models remove MODEL/1 --yes",
    "benchmark MODEL",
    "serve --port 0 --model MODEL",
)


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QUICKEYE_STORE", raising=False)
    monkeypatch.setattr(serve_command, "set_up_logs", lambda log_format, level: None)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("store")
    write_mean_colour(root)
    return root


def quickeye_says(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, *words: str
) -> tuple[int, str, str]:
    """Exit code, stdout, and stderr with the log."""
    code, out, err = called(quickeye.main, capsys, *words)
    return code, out, err + caplog.text


@pytest.mark.parametrize("model", ["absent", "Odd name"])
@pytest.mark.parametrize("line", NAMING)
def test_no_such_model_is_1(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, store: Path, line: str, model: str
) -> None:
    words = [word.replace("MODEL", model) for word in line.split()]
    code, out, said = quickeye_says(capsys, caplog, *words, "--store", str(store))
    assert (code, out) == (1, "")
    assert model in said
    assert "Traceback" not in said


@pytest.mark.parametrize("line", [*NAMING, "predict photo.jpg", "models list", "models verify", "serve --port 0"])
def test_no_such_store_is_1(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, tmp_path: Path, line: str
) -> None:
    words = line.replace("MODEL", "mean_colour").split()
    absent = tmp_path / "absent"
    code, out, said = quickeye_says(capsys, caplog, *words, "--store", str(absent))
    assert (code, out) == (1, "")
    assert str(absent) in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    "line",
    ["predict", "models", "models show", "models diff a", "models remove a", "benchmark", "loadtest", "config", "fly",
     *(f"{line} --no-such-flag" for line in NAMING)],
)  # fmt: skip
def test_a_command_line_that_is_wrong_in_itself_is_2(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, tmp_path: Path, line: str
) -> None:
    words = line.replace("MODEL", "a").split()
    code, out, said = quickeye_says(capsys, caplog, *words)
    assert (code, out) == (2, "")
    assert said.strip()
    assert not list(tmp_path.iterdir())
