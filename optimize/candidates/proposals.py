"""Candidates that nobody named: proposed from those that were measured, one after the other.

The sampler is Optuna's tree-structured Parzen estimator for two aims at once (Ozaki et al., 2020): the share of
the parent's time, and points lost. What the recipe names is measured first, and learnt from as far as it lies
in the space. Every proposal is journaled before it is made; a run that goes on asks the same, in the same order,
and learns the same. A chain that is there already, or that can't be, teaches the sampler nothing; after
some of these in a row it is drawn at random until there is a new one.
"""

import optuna
from optuna.trial import TrialState
from pydantic import ValidationError

from optimize.candidates.chains import Steps
from optimize.candidates.journal import Journal
from optimize.candidates.proposed_steps import contents, steps_of, values_of
from optimize.candidates.recipe import CandidateEntry
from optimize.candidates.result import Candidate
from optimize.candidates.search_options import as_search
from optimize.candidates.steps import Content
from optimize.choice import faults
from optimize.search.options import Span, Value
from optimize.search.stored_values import to_stored
from optimize.search.study import PerTrial
from optimize.search.suggestion import suggest

# So many proposals in a row that are there already, most of them drawn at random: hardly a chain is left.
REPEATS = 30
# After so many the sampler is not asked: it would stay where it is.
STUCK = 5
# What no step makes: the parent's own time, and nothing lost.
_PARENT = [1.0, 0.0]


class Proposals:
    """Of one run: ``learn`` what was measured, in order, and ask for the ``next``."""

    def __init__(self, space: dict[str, Span], journal: Journal, seed: int) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._options = as_search(space)
        self._journal = journal
        self._samplers = [PerTrial(as_search(space, name), seed) for name in ("tpe", "random")]
        self._study = optuna.create_study(directions=["minimize", "minimize"], sampler=self._samplers[0])
        self._known: set[str] = set()
        self._asked: tuple[optuna.Trial, str] | None = None
        self._count = 0
        # What is wrong with chains that were proposed and can't be.
        self.refused: dict[str, None] = {}

    def learn(self, steps: Steps, one: Candidate) -> None:
        """Tell how the candidate that was proposed last turned out, or one that the recipe names."""
        said = str(contents(steps))
        if self._asked is not None and self._asked[1] == said:
            trial, self._asked = self._asked[0], None
        else:
            values = values_of(steps, self._options.space)
            if values is None or said in self._known:
                return
            trial = self._ask(values)
            suggest(trial, self._options)
            self._known.add(said)
        self._tell(trial, _figures(one))

    def next(self) -> CandidateEntry | None:
        """A candidate that is not there yet; None where none is found.

        Raises:
            RunError: the journal can't be read or written.
        """
        for repeat in range(REPEATS):
            self._study.sampler = self._samplers[repeat >= STUCK]
            trial, steps = self._proposed()
            entry = self._entry(steps)
            said = str(contents(entry.steps) if entry else steps)
            is_new = said not in self._known
            self._known.add(said)
            if entry is not None and is_new:
                self._count += 1
                self._asked = trial, said
                return entry
            self._tell(trial, _PARENT if is_new and not steps else None)
        return None

    def _proposed(self) -> tuple[optuna.Trial, list[Content]]:
        """What the sampler says; what the journal says that it said, where that was before."""
        key = f"proposed {len(self._study.get_trials(deepcopy=False))}"
        trial = self._ask(self._journal.known(key) or {})
        values = suggest(trial, self._options)
        self._journal.once(key, lambda: values)
        return trial, steps_of({path: values[path] for path in self._options.space if path in values})

    def _ask(self, values: dict[str, Value]) -> optuna.Trial:
        if values:
            self._study.enqueue_trial({path: to_stored(value) for path, value in values.items()})
        return self._study.ask()

    def _entry(self, steps: list[Content]) -> CandidateEntry | None:
        if not steps:
            return None
        try:
            return CandidateEntry.model_validate({"name": f"search-{self._count + 1}", "steps": steps})
        except ValidationError as error:
            self.refused[faults(error, CandidateEntry)] = None
            return None

    def _tell(self, trial: optuna.Trial, figures: list[float] | None) -> None:
        if figures is None:
            self._study.tell(trial, state=TrialState.FAIL)
        else:
            self._study.tell(trial, figures)


def _figures(one: Candidate) -> list[float] | None:
    """Share of the parent's time, points lost; None where it was not made."""
    if one.speed is None or one.val is None:
        return None
    return [1 / one.speed.faster, one.val.drop]
