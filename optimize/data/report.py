"""What the data is, for ``data.json``, the report and the person who asked: nothing found is kept quiet."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Literal


def spoken(split: str) -> str:
    """What people call a split."""
    return {"train": "training", "val": "validation"}.get(split, split)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A picture that was left out, and why."""

    picture: str
    reason: str


@dataclass(frozen=True, slots=True)
class Leak:
    """A picture of ``split`` that ``train`` holds too.

    ``same``: ``bytes``, the very file; ``likely``, its pixels are so near that it probably is a copy encoded anew.
    """

    split: str
    picture: str
    train_picture: str
    same: Literal["bytes", "likely"]


@dataclass(frozen=True, slots=True)
class JudgesTwice:
    """A picture of validation that the test holds too; ``same`` as in ``Leak``."""

    picture: str
    val_picture: str
    same: Literal["bytes", "likely"]


@dataclass(frozen=True, slots=True)
class DataReport:
    """Everything that reading and splitting found.

    Attributes:
        fingerprint: sha256, hexadecimal, over contents, labels and splits.
        counts: split → task → class → pictures.
        pictures: split → pictures.
        unreadable: left out; empty where the policy is to stop.
        ignored: files that are no pictures by their name and their content.
        duplicates: groups of training pictures that are the same byte for byte.
        conflicts: such groups, training or not, whose labels differ: "picture (class)".
        likely_conflicts: pairs of training pictures that likely are copies, and whose labels differ.
        leaks: see ``Leak``.
        dropped: training pictures left out because they leaked.
        judge_twice: see ``JudgesTwice``; they stay where they are.
        colourless: split → pictures without any colour.
        warnings: sentences for a person: what of all that needs a look.
    """

    fingerprint: str
    counts: Mapping[str, Mapping[str, Mapping[str, int]]]
    pictures: Mapping[str, int]
    unreadable: tuple[Unreadable, ...] = ()
    ignored: tuple[str, ...] = ()
    duplicates: tuple[tuple[str, ...], ...] = ()
    conflicts: tuple[tuple[str, ...], ...] = ()
    likely_conflicts: tuple[tuple[str, ...], ...] = ()
    leaks: tuple[Leak, ...] = ()
    dropped: tuple[str, ...] = ()
    judge_twice: tuple[JudgesTwice, ...] = ()
    colourless: Mapping[str, int] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, object]:
        """Plain values, as ``data.json`` holds them; unreadable pictures as [picture, reason]."""
        return {**asdict(self), "unreadable": [[one.picture, one.reason] for one in self.unreadable]}

    def sentences(self) -> list[str]:
        """What was found and needs a look, in words."""
        counted: list[tuple[str, int, str]] = []
        if self.unreadable:
            one = self.unreadable[0]
            found = f"{one.picture}, {one.reason}"
            counted.append(("pictures that can't be read, and are left out", len(self.unreadable), found))
        if self.ignored:
            counted.append(("files that are no pictures, and are left out", len(self.ignored), self.ignored[0]))
        if self.duplicates:
            extra = sum(len(group) - 1 for group in self.duplicates)
            counted.append(("training pictures that are copies of others", extra, _same(self.duplicates[0])))
        if self.conflicts:
            counted.append(
                ("pictures that have copies with other labels", len(self.conflicts), _same(self.conflicts[0]))
            )
        if self.likely_conflicts:
            pairs = self.likely_conflicts
            counted.append(("pairs that likely are one picture with two labels", len(pairs), _same(pairs[0])))
        told = [f"{what}: {count}, such as {example}" for what, count, example in counted]
        return told + self._about_leaks() + self._about_colour()

    def _about_leaks(self) -> list[str]:
        told = []
        for split in dict.fromkeys(one.split for one in self.leaks):
            leaks = [one for one in self.leaks if one.split == split]
            likely = sum(one.same == "likely" for one in leaks)
            done = "are left out of training" if self.dropped else "make its figures too good"
            told.append(
                f"training pictures that are in {spoken(split)} too: {len(leaks)}, likely copies among "
                f"them: {likely}; they {done}: {leaks[0].train_picture} = {leaks[0].picture}"
            )
        if self.judge_twice:
            one = self.judge_twice[0]
            likely = sum(one.same == "likely" for one in self.judge_twice)
            told.append(
                f"validation pictures that are in test too: {len(self.judge_twice)}, likely copies among them: "
                f"{likely}; what is chosen by validation, as the temperature, is fitted to them: "
                f"{one.val_picture} = {one.picture}"
            )
        return told

    def _about_colour(self) -> list[str]:
        return [
            f"pictures of {spoken(split)} without colour among those with: {grey} of "
            f"{self.pictures[split]}; all take the network's channels, as in serving"
            for split, grey in self.colourless.items()
            if 0 < grey < self.pictures[split]
        ]


def _same(pictures: Sequence[str]) -> str:
    return " = ".join(pictures[:4])
