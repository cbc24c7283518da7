"""All that a report may show; what is None or empty is said to be missing, in words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from optimize.judging.comparison import Comparison
from optimize.judging.judgement import Judgement
from optimize.judging.latency import Latency
from optimize.judging.mistake_pictures import MistakePicture
from optimize.judging.robustness import Robustness
from optimize.judging.run_judgement import ModelFacts


@dataclass(frozen=True, slots=True)
class Judged:
    """One set of pictures, judged; ``split`` in a word or two: "test", "validation", a folder's name."""

    split: str
    judgement: Judgement


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFacts:
    """``data.json`` for people: class → pictures by split, and lists of what was odd about the data."""

    counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    pictures: Mapping[str, int] = field(default_factory=dict)
    warnings: Sequence[str] = ()
    unreadable: Sequence[tuple[str, str]] = ()
    duplicates: Sequence[Sequence[str]] = ()
    conflicts: Sequence[Sequence[str]] = ()
    leaks: Sequence[Mapping[str, str]] = ()
    fingerprint: str = ""

    @property
    def unreadable_lines(self) -> list[str]:
        return [f"{picture}: {reason}" for picture, reason in self.unreadable]

    @property
    def duplicate_lines(self) -> list[str]:
        return [" = ".join(group) for group in self.duplicates]

    @property
    def conflict_lines(self) -> list[str]:
        return [" = ".join(group) for group in self.conflicts]

    @property
    def leak_lines(self) -> list[str]:
        """Byte for byte, or likely a copy that was encoded anew."""
        return [
            f"{one.get('split')}: {one.get('picture')} = {one.get('train_picture')} ({one.get('same')})"
            for one in self.leaks
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportContent:
    """What ``render`` takes.

    Attributes:
        kind: "run" or "evaluation": what is missing is told differently.
        judged: the set to speak of first, the others after it.
        folded_temperature: that the logits of a run's bundle are divided by; None: by none, or it is not known.
        metrics: column → a value for each epoch, None where there is none.
        recipe: the TOML text that was run.
        facts: (name, value) pairs: seed, dates, versions, architecture.
        mistakes_split: which set the pictures are of.
        commands: (what it does, command line).
    """

    kind: str
    title: str
    judged: Sequence[Judged] = ()
    model: ModelFacts | None = None
    folded_temperature: float | None = None
    latency: Sequence[Latency] = ()
    robustness: Robustness | None = None
    comparison: Comparison | None = None
    data: DataFacts | None = None
    metrics: Mapping[str, Sequence[float | None]] = field(default_factory=dict)
    recipe: str = ""
    facts: Sequence[tuple[str, str]] = ()
    mistakes: Sequence[MistakePicture] = ()
    mistakes_split: str = ""
    commands: Sequence[tuple[str, str]] = ()
    notes: Sequence[str] = ()
