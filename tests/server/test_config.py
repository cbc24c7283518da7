"""Settings: where a value comes from, and what is refused."""

from dataclasses import Field, fields
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
        ({"port": "70000"}, 'port = "70000"'),
        ({"port": "many"}, 'port = "many"'),
        ({"device": "tpu"}, "device"),
        ({"timeout_ms": "nan"}, "timeout_ms"),
        ({"timeout_ms": -1}, "timeout_ms"),
        ({"timeout_ms": "inf"}, "timeout_ms"),
        ({"rate_limit_per_s": "inf"}, "not infinity"),
        ({"max_batch_size": -1}, "max_batch_size"),
        ({"host": ""}, "not empty"),
    ],
)
def test_a_wrong_value_is_refused_with_its_name_and_source(flags: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words) as refused:
        resolve(flags, {})
    assert "flag" in str(refused.value)


def test_a_misspelt_variable_is_refused() -> None:
    with pytest.raises(ConfigError, match="QUICKEYE_PROT"):
        resolve({}, {"QUICKEYE_PROT": "1"})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("port = true", "port = true (from FILE): it takes a whole number, 0 to 65,535"),
        ('port = "8000"', 'port = "8000" (from FILE): it takes a whole number, 0 to 65,535, without quotes'),
        ("port = 8000.0", "port = 8000.0 (from FILE): it takes a whole number, 0 to 65,535"),
        ("port = -1", "port = -1 (from FILE): it takes a whole number, 0 to 65,535"),
        ("port = [1, 2]", "port = [1, 2] (from FILE): it takes a whole number, 0 to 65,535"),
        ("workers = 0", "workers = 0 (from FILE): it takes a whole number from 1"),
        ('models = "a"', 'models = "a" (from FILE): it takes a list of texts: ["…", "…"]'),
        ("models = [1, true]", "models = [1, true] (from FILE): it takes a list of texts"),
        ('timeout_ms = "5"', 'timeout_ms = "5" (from FILE): it takes a number, 0 to 86,400,000, without quotes'),
        ("timeout_ms = true", "timeout_ms = true (from FILE): it takes a number, 0 to 86,400,000"),
        ("rate_limit_per_s = inf", "rate_limit_per_s = Infinity (from FILE): it takes a number from 0, not infinity"),
        ('access_log = "yes"', 'access_log = "yes" (from FILE): it takes true or false, without quotes'),
        ("access_log = 1", "access_log = 1 (from FILE): it takes true or false"),
        ("store = 2024-01-01", 'store = "2024-01-01" (from FILE): it takes a text'),
        ('device = "tpu"', 'device = "tpu" (from FILE): it takes one of auto, cpu, cuda'),
        ('api_keys = "sesame"', 'api_keys = a secret (from FILE): it takes a list of texts: ["…", "…"]'),
        (f'models = "{"a" * 200}"', f'models = "{"a" * 99}… (from FILE): it takes a list of texts: ["…", "…"]'),
    ],
)
def test_a_file_s_types_are_taken_at_their_word(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "f.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as refused:
        resolve({}, {}, file)
    assert str(refused.value) == says.replace("FILE", f"file {file}")


def test_a_file_s_whole_number_is_a_number_and_its_list_is_taken(tmp_path: Path) -> None:
    file = tmp_path / "f.toml"
    file.write_text('timeout_ms = 20\nmodels = ["a", "b/2"]\naccess_log = false\n')
    found = resolve({}, {}, file).config
    assert (found.timeout_ms, found.models, found.access_log) == (20.0, ("a", "b/2"), False)


@pytest.mark.parametrize("each", fields(Config), ids=lambda each: each.name)
@pytest.mark.parametrize("value", ["{}", "1979-05-27", "[[1]]"])
def test_no_refusal_speaks_of_the_code(tmp_path: Path, each: "Field[object]", value: str) -> None:
    file = tmp_path / "f.toml"
    file.write_text(f"{each.name} = {value}\n")
    with pytest.raises(ConfigError) as refused:
        resolve({}, {}, file)
    message = str(refused.value).replace(str(file), "")
    assert ": it takes " in message
    assert not [word for word in ("tuple", "Input", "str", "int ", "valid") if word in message.partition("it takes")[2]]


def test_a_table_in_a_file_is_told_where_settings_stand(tmp_path: Path) -> None:
    file = tmp_path / "f.toml"
    file.write_text("[serve]\nport = 1\n")
    with pytest.raises(ConfigError, match=r"no such setting: serve; .*settings stand in no \[table\]"):
        resolve({}, {}, file)


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
