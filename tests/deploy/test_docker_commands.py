"""The documents' docker and helm commands name files, targets and values that there are."""

import itertools
import shlex
from collections.abc import Iterator

import helm_python as helm
import pytest

from tests.deploy.chart import CHART, rendered
from tests.deploy.dockerfile import instructions
from tests.docs.pages import ROOT, examples


def commands(program: str) -> list[list[str]]:
    typed = [shlex.split(command) for example in examples("console") for command in example.commands]
    return [words[1:] for words in typed if words[0] == program]


def flags(words: list[str], *names: str) -> Iterator[str]:
    """What stands behind these flags."""
    return (value for flag, value in itertools.pairwise(words) if flag in names)


@pytest.mark.parametrize("words", commands("docker"), ids=" ".join)
def test_docker_is_given_what_is_there(words: list[str]) -> None:
    assert words[0] in ("build", "run", "compose")
    assert all((ROOT / name).is_file() for name in flags(words, "--file"))
    assert {f"quickeye:{target}" for target in flags(words, "--target")} == set(flags(words, "--tag"))
    assert set(flags(words, "--target")) <= {each.stage for each in instructions()}


@pytest.mark.parametrize("words", commands("helm"), ids=" ".join)
def test_helm_is_given_values_that_the_chart_takes(words: list[str]) -> None:
    assert words[0] in ("install", "upgrade", "test")
    assert all((ROOT / word).resolve() == CHART for word in words if "/" in word and "=" not in word)
    for text in flags(words, "--set"):
        values = helm.parse_set_string(text)
        assert rendered(values) != rendered({})


def test_there_are_such_commands() -> None:
    assert len(commands("docker")) >= 4
    assert len(commands("helm")) >= 3
