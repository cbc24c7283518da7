"""Candidates that need not be made: what they begin with, or what keeps more than they do, has lost too much."""

from collections.abc import Sequence
from typing import Any

from optimize.candidates.made import Made
from optimize.candidates.proposed_steps import contents
from optimize.candidates.recipe import CandidateEntry
from optimize.candidates.result import Candidate
from optimize.candidates.steps import OWN
from optimize.training.recipe_entries import Entry

# Points more than the budget; who loses them for sure is not built upon by passes alone.
HOPELESS = 5.0
# Settings by which a network gets smaller the less they are.
_SIZES = ("macs", "latency", "height", "width")


def why_hopeless(
    entry: CandidateEntry, before: Sequence[Candidate], made: Made, *, budget: float, is_named: bool
) -> str:
    """Why nothing good can come of it; empty where it may.

    Args:
        before: what is there, with figures.
        budget: points that may be lost.
        is_named: by the recipe: then it is not measured by one that keeps more.
    """
    for one in before:
        if one.val is None or one.val.ci95[0] <= budget + HOPELESS:
            continue
        steps = made.steps(one.name)
        if not is_named and asks_more(entry.steps, steps):
            return f"it is {one.name} with less of the network kept, which loses {one.val.drop:.1f} points already"
        rest = entry.steps[len(steps) :]
        begins = bool(steps) and contents(entry.steps[: len(steps)]) == contents(steps)
        if begins and not any(step.name in OWN for step in rest):
            return f"it begins as {one.name} does, which loses {one.val.drop:.1f} points"
    return ""


def asks_more(steps: Sequence[Entry[Any]], of: Sequence[Entry[Any]]) -> bool:
    """Whether the steps are ``of``'s, with less of the network kept."""
    mine, theirs = contents(steps), contents(of)
    if mine == theirs or [step["name"] for step in mine] != [step["name"] for step in theirs]:
        return False
    pairs = [
        (key, value, other.get(key)) for one, other in zip(mine, theirs, strict=True) for key, value in one.items()
    ]
    return all(
        value == other or (key in _SIZES and value is not None and other is not None and value <= other)
        for key, value, other in pairs
    )
