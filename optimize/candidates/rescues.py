"""What is tried for an INT8 candidate that loses more than it may, where its float network does not.

The cheap first: the same chain with other ranges for the activations, which is a calibration each; the first that keeps
the budget on the choosing pictures ends it. Where none does, the network is trained in INT8's arithmetic (``qat``)
before it is quantised, as long as the recipe's recoveries. Without a float network there is
nothing to train, and ranges are all. A chain that the recipe names itself is not made twice: its figures
count.

What is decided is journaled, so that a run that goes on, with another budget too, has what it had.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from model_zoo.bundle import Bundle
from optimize.candidates.audit import QUANTISES
from optimize.candidates.bench import Bench
from optimize.candidates.chains import Steps
from optimize.candidates.journal import Journal
from optimize.candidates.judged import drop_words, paired, verdict
from optimize.candidates.made import Made
from optimize.candidates.plan import RANGES, recovery_epochs
from optimize.candidates.proposed_steps import contents
from optimize.candidates.recipe import NAME_LENGTH, PARENT, CandidateEntry
from optimize.candidates.result import Candidate, Paired
from optimize.candidates.steps import Content

TRAINS = "qat"


@dataclass(frozen=True, slots=True)
class Rescue:
    """A candidate that no recipe names, and ``because`` of what it is there."""

    entry: CandidateEntry
    because: str


def is_rescued(entry: CandidateEntry) -> bool:
    """Whether it is a chain for which there is something else to try."""
    names = [step.name for step in entry.steps]
    return names[-1] == QUANTISES and TRAINS not in names


def has_network(bundle: Bundle) -> bool:
    """Whether there is a float network to train."""
    return bundle.weights_path is not None and bundle.spec.architecture is not None


class Rescues:
    """Of one run."""

    def __init__(self, bench: Bench, made: Made, journal: Journal) -> None:
        self._bench, self._made, self._journal = bench, made, journal
        self._taken = {entry.name for entry in bench.recipe.candidate}

    def next(self, entry: CandidateEntry, found: Sequence[Candidate]) -> Rescue | None:
        """What to try next for a candidate that the recipe names; None where nothing is left, or need be.

        Args:
            found: all that is there so far, this candidate too.
        Raises:
            RunError: the journal can't be read or written.
            DataError, BackendError: the float network can't be asked.
        """
        there = {_said(self._made.steps(one.name)): one for one in found}
        mine = there[_said(entry.steps)]
        if not is_rescued(entry) or mine.state != "made":
            return None
        options = list(self._options(entry))
        missing = [one for one in options if _said(one.entry.steps) not in there]
        for one in missing:
            known = self._journal.known(f"rescue {one.entry.name}")
            if known is not None:
                return Rescue(one.entry, known["because"])
        tried = [mine, *(there[said] for said in (_said(one.entry.steps) for one in options) if said in there)]
        if not missing or any(one.state == "waiting" or self._is_within(one.val) for one in tried):
            return None
        before = self._in_float(entry)
        if mine.val is None or not self._is_within(before):
            return None
        one = missing[0]
        because = f"{entry.name} {drop_words(mine.val.drop)}, in float it {drop_words(before.drop)}: {one.because}"
        self._journal.once(f"rescue {one.entry.name}", lambda: {"because": because})
        return Rescue(one.entry, because)

    def _options(self, entry: CandidateEntry) -> Iterator[Rescue]:
        """In the order in which they are tried; ``because``: what is done, in words."""
        *before, last = contents(entry.steps)
        for method in RANGES:
            if method != last["range_method"]:
                steps = [*before, {**last, "range_method": method}]
                yield Rescue(self._entry(entry, method, steps), f"other ranges, by {method}")
        bundle = self._made.after(entry.steps[:-1])
        if has_network(bundle):
            epochs = recovery_epochs(self._bench.recipe.candidate)
            steps = [*before, {"name": TRAINS, "epochs": epochs}, last]
            yield Rescue(self._entry(entry, TRAINS, steps), "trained in INT8")

    def _entry(self, entry: CandidateEntry, way: str, steps: list[Content]) -> CandidateEntry:
        """Named after both, and otherwise than any candidate of the recipe; a name that must be cut has its hash."""
        number, ending = 1, f"-{way}"
        if len(entry.name) + len(ending) > NAME_LENGTH:
            ending = f"-{hashlib.sha256(entry.name.encode()).hexdigest()[:6]}{ending}"
        while (name := f"{entry.name[: NAME_LENGTH - len(ending)]}{ending}") in self._taken:
            number += 1
            ending = f"{ending.removesuffix(f'-{number - 1}')}-{number}"
        return CandidateEntry.model_validate({"name": name, "steps": steps})

    def _in_float(self, entry: CandidateEntry) -> Paired:
        """The chain without its last step, on the choosing pictures."""
        mine, parent = self._made.answers_after(entry.steps[:-1], "val"), self._made.answers(PARENT, "val")
        return paired(mine, parent, seed=self._bench.recipe.seed)

    def _is_within(self, val: Paired | None) -> bool:
        return val is not None and verdict(val, self._bench.recipe.budget).passes


def _said(steps: Steps) -> str:
    return str(contents(steps))
