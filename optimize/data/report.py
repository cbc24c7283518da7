"""What the data is, for ``data.json``, the report and the person who asked: nothing found is kept quiet."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Literal


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
        told = []
        if self.unreadable:
            one = self.unreadable[0]
            told.append(f"{len(self.unreadable)} pictures can't be read, and are left out: {one.picture}, {one.reason}")
        if self.ignored:
            told.append(f"{len(self.ignored)} files are no pictures and are left out: {self.ignored[0]}")
        if self.duplicates:
            extra = sum(len(group) - 1 for group in self.duplicates)
            told.append(f"{extra} training pictures are copies of others: {' = '.join(self.duplicates[0][:4])}")
        if self.conflicts:
            first = " = ".join(self.conflicts[0][:4])
            told.append(f"{len(self.conflicts)} pictures have copies with other labels: {first}")
        if self.likely_conflicts:
            first = " = ".join(self.likely_conflicts[0])
            told.append(f"{len(self.likely_conflicts)} pairs likely are one picture with two labels: {first}")
        return told + self._about_leaks() + self._about_colour()

    def _about_leaks(self) -> list[str]:
        told = []
        for split in dict.fromkeys(one.split for one in self.leaks):
            leaks = [one for one in self.leaks if one.split == split]
            likely = sum(one.same == "likely" for one in leaks)
            done = "are left out of training" if self.dropped else "make its figures too good"
            told.append(
                f"{len(leaks)} training pictures are in {split} too ({likely} of them likely copies) and {done}: "
                f"{leaks[0].train_picture} = {leaks[0].picture}"
            )
        if self.judge_twice:
            one = self.judge_twice[0]
            likely = sum(one.same == "likely" for one in self.judge_twice)
            told.append(
                f"{len(self.judge_twice)} pictures of val are in test too ({likely} of them likely copies), so what is "
                f"chosen by validation, as the temperature, was fitted to them: {one.val_picture} = {one.picture}"
            )
        return told

    def _about_colour(self) -> list[str]:
        return [
            f"{grey} of the {self.pictures[split]} pictures of {split} have no colour, the others do; "
            "all take the network's channels, as in serving"
            for split, grey in self.colourless.items()
            if 0 < grey < self.pictures[split]
        ]
