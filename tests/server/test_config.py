"""Settings: where a value comes from, and what is refused."""

from dataclasses import fields
from pathlib import Path

import pytest

from server.config import Config, ConfigError, is_loopback, resolve


def test_a_flag_wins_over_the_environment_over_the_file_over_the_default(tmp_path: Path) -> None:
    file = tmp_path / "quickeye.toml"
    file.write_text('port = 1\nhost = "10.0.0.1"\nmax_batch_size = 3\n')
    found = resolve({"port": "3"}, {"QUICKEYE_PORT": "2", "QUICKEYE_HOST": "10.0.0.2"}, file)
    assert (found.config.port, found.config.host, found.config.max_batch_size) == (3, "10.0.0.2", 3)
    assert found.config.device == "auto"
    assert found.sources["port"] == "flag"
    assert found.sources["host"] == "environment QUICKEYE_HOST"
    assert found.sources["max_batch_size"] == f"file {file}"
    assert found.sources["device"] == "default"


def test_every_setting_can_come_from_the_environment() -> None:
    environment = {}
    for each in fields(Config):
        value = each.default
        environment["QUICKEYE_" + each.name.upper()] = ",".join(value) if isinstance(value, tuple) else str(value)
    found = resolve({}, environment)
    assert found.config == Config()
    assert all(source.startswith("environment") for source in found.sources.values())


def test_several_values_are_separated_by_commas() -> None:
    assert resolve({}, {"QUICKEYE_MODELS": "a, b/2,"}).config.models == ("a", "b/2")


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"port": "70000"}, "port = '70000'"),
        ({"port": "many"}, "port = 'many'"),
        ({"device": "tpu"}, "device"),
        ({"timeout_ms": "nan"}, "timeout_ms"),
        ({"timeout_ms": -1}, "timeout_ms"),
        ({"max_batch_size": 0}, "max_batch_size"),
    ],
)
def test_a_wrong_value_is_refused_with_its_name_and_source(flags: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words) as refused:
        resolve(flags, {})
    assert "flag" in str(refused.value)


def test_a_misspelt_variable_is_refused() -> None:
    with pytest.raises(ConfigError, match="QUICKEYE_PROT"):
        resolve({}, {"QUICKEYE_PROT": "1"})


@pytest.mark.parametrize(("text", "words"), [("prot = 1", "no such setting: prot"), ("port 1", "not TOML"), ("", None)])
def test_a_file_is_read_or_refused_in_words(tmp_path: Path, text: str, words: str | None) -> None:
    file = tmp_path / "f.toml"
    file.write_text(text)
    if words is None:
        assert resolve({}, {}, file).config == Config()
        return
    with pytest.raises(ConfigError, match=words):
        resolve({}, {}, file)


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read"):
        resolve({}, {}, tmp_path / "none.toml")


def test_a_secret_is_not_repeated_in_an_error() -> None:
    with pytest.raises(ConfigError) as refused:
        resolve({"admin_key": 5}, {})
    assert "5" not in str(refused.value).replace("a secret", "")


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False)],
)
def test_loopback_is_known(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected
    assert not is_loopback("localhost.example.com")
