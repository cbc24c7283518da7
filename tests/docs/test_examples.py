"""Every example in the documents is something that the programs would take."""

import argparse
import ast
import json
import re
import shlex
import tomllib
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import parse_qsl, urlsplit

import pytest

import quickeye
from optimize.candidates.recipe import parse_optimize_recipe
from optimize.training.recipe import parse_recipe
from server.config import resolve
from server.predict_options import KNOWN
from tests.docs.pages import ROOT, Example, examples
from tests.docs.served_calls import is_served

COMMANDS = [(example, command) for example in examples("console") for command in example.commands]
# Programs that are not ours: what they take is theirs to say.
FOREIGN = ("sudo", ".", "printf", "docker", "helm")
CURL_FLAGS = {"--silent": 0, "--data-binary": 1, "--form": 1, "--json": 1, "--header": 1, "--output": 1, "--request": 1}
POSTING = ("--data-binary", "--form", "--json")


class ParsedError(Exception):
    """Ends a command once its arguments are understood."""


@pytest.fixture
def parse_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands end where their flags are parsed; a usage error ends them as ever."""
    original = argparse.ArgumentParser.parse_args

    def parse(parser: argparse.ArgumentParser, *given: Any) -> NoReturn:  # noqa: ANN401
        raise ParsedError(original(parser, *given))

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse)


def check_quickeye(words: list[str]) -> None:
    with pytest.raises(ParsedError):
        quickeye.main(words)


def check_make(words: list[str]) -> None:
    assert re.search(rf"^{words[0]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


def check_python(words: list[str]) -> None:
    assert words[0] == "-m"
    assert find_spec(words[1]) is not None


# What calls take in their query, predictions and the catalogue aside.
QUERIES = {"/debug/profile": ("seconds", "format", "view"), "/debug/batches": ("model", "limit")}


def curl_request(words: list[str]) -> tuple[str, str]:
    """Method and URL of a curl command whose flags are all known here."""
    method, urls, flags = "", [], iter(words)
    for word in flags:
        if word.startswith("-"):
            value = next(flags) if CURL_FLAGS[word] else ""
            method = value if word == "--request" else method or ("POST" if word in POSTING else "")
        else:
            urls.append(word)
    (url,) = urls
    return method or "GET", url


def check_curl(words: list[str]) -> None:
    method, url = curl_request(words)
    parts = urlsplit(url)
    assert parts.netloc == "127.0.0.1:8000"
    assert is_served(method, parts.path)
    known = KNOWN if parts.path.endswith("/predict") else QUERIES.get(parts.path, ("version",))
    assert {name for name, _ in parse_qsl(parts.query)} <= set(known)


@pytest.mark.parametrize(("example", "command"), COMMANDS, ids=[f"{where} {text}"[:90] for where, text in COMMANDS])
@pytest.mark.usefixtures("parse_only")
def test_a_command_parses(example: Example, command: str) -> None:
    for part in re.sub(r"\$\(.*?\)", "", command).split(" | "):
        check_part(example, part)


def check_part(example: Example, part: str) -> None:
    program, *words = shlex.split(part)
    ours: dict[str, Callable[[], None]] = {
        "quickeye": lambda: check_quickeye(words),
        "make": lambda: check_make(words),
        "python": lambda: check_python(words),
        "curl": lambda: check_curl(words),
    }
    assert program in ours or program in FOREIGN, f"{example}: what is {program}?"
    ours.get(program, lambda: None)()


@pytest.mark.parametrize("example", examples("python"), ids=str)
def test_python_is_python(example: Example) -> None:
    assert ast.parse(example.text).body


@pytest.mark.parametrize("example", examples("json"), ids=str)
def test_json_is_json(example: Example) -> None:
    assert json.loads(example.text)


def is_recipe(example: Example) -> bool:
    """Whether it is of a training recipe, or a part of one: settings stand in no table, recipes do."""
    values = tomllib.loads(example.text).values()
    return any(isinstance(value[0] if isinstance(value, list) and value else value, dict) for value in values)


@pytest.mark.parametrize("example", [one for one in examples("toml") if is_recipe(one)], ids=str)
def test_a_recipe_is_taken(example: Example) -> None:
    """What a part of a recipe leaves out is filled in; a key or a name that there is not is an error."""
    content = tomllib.loads(example.text)
    if "candidate" in content:
        assert parse_optimize_recipe(content).candidate
        return
    data = {"train": "photos", **content.pop("data", {})}
    recipe = parse_recipe({"name": "example", "model": {}, **content, "data": data})
    assert set(content) <= set(recipe.to_content())


@pytest.mark.parametrize("example", [one for one in examples("toml") if not is_recipe(one)], ids=str)
def test_a_file_of_settings_is_taken(example: Example, tmp_path: Path) -> None:
    file = tmp_path / "quickeye.toml"
    file.write_text(example.text)
    found = resolve({}, {}, file)
    assert {name for name, source in found.sources.items() if source != "default"} == set(tomllib.loads(example.text))


def test_every_example_has_a_language_that_is_checked() -> None:
    known = {"console", "python", "json", "toml", "text"}
    assert [str(example) for example in examples("", "bash", "sh", "shell", "yaml", "ini")] == []
    assert {example.language for example in examples(*known)} == known
