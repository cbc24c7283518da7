"""``quickeye config show``: every setting, its value, and where it came from."""

import json
from dataclasses import fields
from pathlib import Path

import pytest

from server.commands.config import main
from server.config import Config
from tests.server.commands.called import called


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for each in fields(Config):
        monkeypatch.delenv(f"QUICKEYE_{each.name.upper()}", raising=False)
    monkeypatch.delenv("QUICKEYE_CONFIG", raising=False)


def test_json_has_every_setting_and_its_source(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "quickeye.toml"
    file.write_text('max_batch_size = 3\nhost = "10.0.0.1"\n')
    monkeypatch.setenv("QUICKEYE_HOST", "10.0.0.2")
    code, out, err = called(
        main, capsys, "show", "--json", "--config", str(file), "--port", "9000", "--model", "a", "--model", "b/2"
    )
    assert (code, err) == (0, "")
    shown = json.loads(out)
    assert set(shown) == {each.name for each in fields(Config)}
    assert shown["max_batch_size"] == {"value": 3, "source": f"file {file}"}
    assert shown["host"] == {"value": "10.0.0.2", "source": "environment QUICKEYE_HOST"}
    assert shown["port"] == {"value": 9000, "source": "flag"}
    assert shown["models"] == {"value": ["a", "b/2"], "source": "flag"}
    assert shown["device"] == {"value": "auto", "source": "default"}


def test_the_file_may_be_named_by_the_environment(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "quickeye.toml"
    file.write_text("port = 8123\n")
    monkeypatch.setenv("QUICKEYE_CONFIG", str(file))
    assert json.loads(called(main, capsys, "show", "--json")[1])["port"] == {"value": 8123, "source": f"file {file}"}


def test_the_table_explains_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = called(main, capsys, "show", "--no-access-log")
    lines = out.splitlines()
    assert code == 0
    for each in fields(Config):
        (line,) = [one for one in lines if one.split(" ")[0] == each.name]
        assert each.metadata["help"] in line
    assert any(line.split()[:3] == ["access_log", "false", "flag"] for line in lines)
    assert "QUICKEYE_PORT" in out


@pytest.mark.parametrize("form", [["--json"], []])
def test_secrets_are_never_shown(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, form: list[str]
) -> None:
    monkeypatch.setenv("QUICKEYE_API_KEYS", "swordfish,mellon")
    code, out, err = called(main, capsys, "show", *form, "--admin-key", "sesame")
    assert code == 0
    for secret in ("swordfish", "mellon", "sesame"):
        assert secret not in out + err
    assert out.count("(set)") == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "action"),
        (["hide"], "hide"),
        (["show", "--no-such-flag"], "--no-such-flag"),
        (["show", "--port", "-1"], "port"),
        (["show", "--log-level", "loud"], "--log-level"),
    ],
)
def test_a_bad_command_line_is_exit_code_2(
    capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    code, out, err = called(main, capsys, *arguments)
    assert (code, out) == (2, "")
    assert words in err


def test_a_misspelt_variable_is_exit_code_2(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUICKEYE_PROT", "1")
    code, out, err = called(main, capsys, "show", "--json")
    assert (code, out) == (2, "")
    assert "QUICKEYE_PROT" in err
