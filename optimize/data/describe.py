"""The report of what was read, and the fingerprint by which a run knows its data again."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace

from optimize.data.checks import counts, warnings_about
from optimize.data.gather import Gathered
from optimize.data.leaks import Leaks, find_conflicts, find_duplicates, find_judges_twice, find_likely_conflicts
from optimize.data.report import DataReport
from optimize.data.screening import Screening

LOOK_ALIKE = "all pictures are much alike: copies that were encoded anew can't be told, and were not looked for"


def describe(
    gathered: Gathered,
    sets: Mapping[str, Screening],
    leaks: Mapping[str, Leaks] | None = None,
    dropped: tuple[str, ...] = (),
    *,
    likely: bool = False,
) -> DataReport:
    """The report.

    Args:
        gathered: as read, with what was left out.
        sets: as they are used, training first.
        leaks: by split.
        dropped: training pictures left out for them.
        likely: look for one picture encoded twice, under two labels or in validation and test.
    """
    leaks = leaks or {}
    labelled = {split: one for split, one in sets.items() if split != "target"}
    report = DataReport(
        fingerprint=fingerprint(sets),
        counts={split: counts(one.dataset) for split, one in labelled.items()},
        pictures={split: len(one.dataset) for split, one in sets.items()},
        unreadable=tuple(broken for one in gathered.sets.values() for broken in one.unreadable),
        ignored=tuple(name for one in gathered.sets.values() for name in one.ignored),
        duplicates=find_duplicates(next(iter(sets.values()))),
        conflicts=find_conflicts(labelled.values()),
        likely_conflicts=find_likely_conflicts(sets["train"]) if likely else (),
        leaks=tuple(leak for one in leaks.values() for leak in one.leaks),
        dropped=dropped,
        judge_twice=find_judges_twice(sets["val"], sets["test"], likely=likely) if {"val", "test"} <= set(sets) else (),
        colourless={split: int(one.colourless.sum()) for split, one in sets.items()},
    )
    about = warnings_about({split: one.dataset for split, one in labelled.items()})
    alike = [f"{LOOK_ALIKE} ({split})" for split, one in leaks.items() if one.are_all_alike]
    return replace(report, warnings=(*gathered.asides, *report.sentences(), *alike, *about))


def fingerprint(sets: Mapping[str, Screening]) -> str:
    """sha256, hexadecimal, over each split's contents and labels in order; file names matter by their order alone."""
    whole = hashlib.sha256()
    for split, one in sets.items():
        tasks = [[task.name, *task.classes] for task in one.dataset.tasks]
        whole.update(json.dumps([split, len(one.dataset), tasks]).encode())
        whole.update(b"".join(one.digests))
        whole.update(one.dataset.labels.astype("<i8").tobytes())
    return whole.hexdigest()
