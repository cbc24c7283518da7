"""The Dockerfile as data: its stages, what each does, and what the image's environment is."""

import json
import re
from dataclasses import dataclass

from tests.docs.pages import ROOT

DOCKERFILE = ROOT / "deploy" / "docker" / "Dockerfile"
IGNORED = ROOT / ".dockerignore"


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction of one stage, on one line."""

    stage: str
    name: str
    rest: str

    @property
    def words(self) -> list[str]:
        return self.rest.split()


def instructions() -> list[Instruction]:
    """All of them in order; those before the first stage are in the stage ''."""
    text = re.sub(r"(?m)^\s*#.*\n", "", DOCKERFILE.read_text())
    lines = [line for line in re.sub(r"\s*\\\n\s*", " ", text).splitlines() if line.strip()]
    found, stage = [], ""
    for line in lines:
        name, _, rest = line.partition(" ")
        if name == "FROM":
            stage = rest.split()[-1]
        found.append(Instruction(stage, name, rest.strip()))
    return found


def bases(stage: str) -> list[str]:
    """A stage, and those that it begins from, in the order in which they are built."""
    parents = {each.stage: each.words[0] for each in instructions() if each.name == "FROM"}
    line = [stage]
    while parents.get(line[0]) in parents:
        line.insert(0, parents[line[0]])
    return line


def of(stage: str, name: str) -> list[Instruction]:
    """The instructions of this name that make this stage, those of its bases first."""
    return [each for base in bases(stage) for each in instructions() if (each.stage, each.name) == (base, name)]


def environment(stage: str) -> dict[str, str]:
    """What ENV sets."""
    pairs = [pair.partition("=") for each in of(stage, "ENV") for pair in each.words]
    return {name: value.strip('"') for name, _, value in pairs}


def health_command() -> list[str]:
    """What the image's health check runs."""
    (check,) = of("cpu", "HEALTHCHECK")
    words: list[str] = json.loads(check.rest.partition("CMD ")[2])
    return words
