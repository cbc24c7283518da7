"""Candidates that nobody named: proposed from those that were measured, one after the other.

The sampler is Optuna's tree-structured Parzen estimator for two aims at once (Ozaki et al., 2020): the share of
the parent's time, and points lost. What the recipe names is measured first, and learnt from as far as it lies
in the space. Every proposal is journaled before it is made; a run that goes on asks the same, in the same order,
and learns the same.
"""

import optuna
from optuna.trial import TrialState
from pydantic import ValidationError

from optimize.candidates.chains import Steps
from optimize.candidates.journal import Journal
from optimize.candidates.proposed_steps import Content, contents, steps_of, values_of
from optimize.candidates.recipe import CandidateEntry
from optimize.candidates.result import Candidate
from optimize.candidates.search_options import as_search
from optimize.choice import faults
from optimize.errors import RecipeError
from optimize.search.options import Span, Value
from optimize.search.stored_values import to_stored
from optimize.search.study import PerTrial
from optimize.search.suggestion import suggest

# So many proposals in a row that are there already: the space has been seen.
REPEATS = 30
# What no step makes: the parent's own time, and nothing lost.
_PARENT = [1.0, 0.0]


class Proposals:
    """Of one run: ``learn`` what was measured, in order, and ask for the ``next``."""

    def __init__(self, space: dict[str, Span], journal: Journal, seed: int) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._options = as_search(space)
        self._journal = journal
        self._study = optuna.create_study(directions=["minimize", "minimize"], sampler=PerTrial(self._options, seed))
        self._known: dict[str, list[float] | None] = {str([]): _PARENT}
        self._asked: tuple[optuna.Trial, str] | None = None
        self._count = 0

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
        self._known[said] = _figures(one)
        self._tell(trial, said)

    def next(self) -> CandidateEntry | None:
        """A candidate that is not there yet; None where none is found.

        Raises:
            RecipeError: the space has values that a step does not take, or the journal can't be read.
        """
        for _ in range(REPEATS):
            trial, values = self._proposed()
            entry = self._entry(steps_of(values))
            said = str(contents(entry.steps)) if entry else str([])
            if entry is not None and said not in self._known:
                self._count += 1
                self._asked = trial, said
                return entry
            self._tell(trial, said)
        return None

    def _proposed(self) -> tuple[optuna.Trial, dict[str, Value]]:
        """What the sampler says; what the journal says that it said, where that was before."""
        key = f"proposed {len(self._study.get_trials(deepcopy=False))}"
        trial = self._ask(self._journal.known(key) or {})
        values = suggest(trial, self._options)
        self._journal.once(key, lambda: values)
        return trial, values

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
            found = faults(error, CandidateEntry)
            raise RecipeError(f"search.space makes a candidate that can't be: {found}") from error

    def _tell(self, trial: optuna.Trial, said: str) -> None:
        figures = self._known[said]
        if figures is None:
            self._study.tell(trial, state=TrialState.FAIL)
        else:
            self._study.tell(trial, figures)


def _figures(one: Candidate) -> list[float] | None:
    """Share of the parent's time, points lost; None where it was not made."""
    if one.speed is None or one.val is None:
        return None
    return [1 / one.speed.faster, one.val.drop]
