"""A search, from a recipe with ``[search]`` to the best trial's bundle.

Every process does the same: take up a trial that a dead process left, else ask for
a new one, train it, tell. So one process, several that the command starts, and
several machines that run the same command on one folder and one storage are one
case. Nobody waits for anybody but to ask.
"""

import secrets
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
from optuna.samplers import GridSampler
from optuna.trial import TrialState

from optimize.errors import OptimizeError, RecipeError, TrainingError
from optimize.search.claims import Claims
from optimize.search.options import SearchOptions
from optimize.search.results import SearchResult, write_results, write_results_so_far
from optimize.search.space import configured, refuse_odd_space, single
from optimize.search.study import open_study
from optimize.search.trial import Search, changes_data, run_trial
from optimize.training.compound_run import Tools, noted, open_folder, write_data_report

if TYPE_CHECKING:
    from optimize.training.recipe import Recipe

# Fields of the recipe that the same search may be continued with when they have changed.
MAY_CHANGE = frozenset(f"search.{name}" for name in ("n_trials", "time_limit_min", "workers", "storage"))
# So many failures from the start, and one at least of each worker, without one success, are the recipe's.
HOPELESS = 5


def run_search(
    recipe: "Recipe", folder: Path, tools: Tools, *, page: bool = True, clock: Callable[[], float] = time.monotonic
) -> SearchResult:
    """Search in this process until the trials or the time are used up.

    Args:
        recipe: with ``[search]``.
        folder: the run's; a search that was begun there is continued.
        page: draw ``search.html`` in the end.
        clock: seconds, for the time limit.
    Returns:
        What was found so far; also written as ``search.json``, ``search.html`` and ``store/``, however it ended.
    Raises:
        RecipeError: there is no ``[search]``, or its space does not fit the recipe.
        RunError: the folder, the storage, or other data than the search was begun with.
        DataError: the data, when the space leaves it alone.
        TrainingError: no trial succeeds.
    """
    search = begin(recipe, folder, tools)
    try:
        work(search, clock=clock)
    except (OptimizeError, KeyboardInterrupt):
        write_results_so_far(search, page=page)
        raise
    return write_results(search, page=page)


def begin(recipe: "Recipe", folder: Path, tools: Tools) -> Search:
    """Check everything, and open the study."""
    if recipe.search is None:
        raise RecipeError("the recipe has no [search]")
    options, content = recipe.search, single(recipe)
    refuse_odd_space(content, options)
    open_folder(folder, "search", recipe, may_change=MAY_CHANGE)
    content = _with_threads(content, options)
    name = noted(folder, "study", f"{recipe.name}-{secrets.token_hex(6)}")
    study = open_study(options, folder, name, seed=recipe.seed, epochs=recipe.train.epochs)
    return Search(folder, options, content, study, tools, None)


def with_data(search: Search) -> Search:
    """Read the data once for all trials, unless they differ in it."""
    if any(map(changes_data, search.options.space)):
        return search
    data = search.tools.read(configured(search.content, {}))
    write_data_report(search.folder, data)
    return replace(search, data=data)


def work(search: Search, *, clock: Callable[[], float] = time.monotonic) -> None:
    """Trials, one after the other, until there is none left for this process."""
    limit = search.options.time_limit_min
    until = float("inf") if limit is None else clock() + 60 * limit
    claims = Claims(search.claims_folder)
    ready: Search | None = None
    while clock() < until and (trial := _next(search, claims)) is not None:
        try:
            ready = ready or with_data(search)
            run_trial(ready, trial)
        finally:
            claims.leave(trial.number)
        _refuse_hopeless(search)


def _next(search: Search, claims: Claims) -> optuna.Trial | None:
    """A trial that nobody works on: one that was left, else a new one; None when all have been begun."""
    with claims.alone():
        trials = search.study.get_trials(deepcopy=False)
        for one in trials:
            if one.state == TrialState.RUNNING and claims.take(one.number):
                return optuna.Trial(search.study, one._trial_id)
        if len(trials) >= trials_wanted(search):
            return None
        trial = search.study.ask()
        claims.take(trial.number)
        return trial


def trials_wanted(search: Search) -> int:
    """``n_trials``; a grid may have fewer points."""
    sampler = search.options.sampler_choice().build(0, 0, search.options.space)
    points = sampler._n_min_trials if isinstance(sampler, GridSampler) else search.options.n_trials
    return min(points, search.options.n_trials)


def _with_threads(content: dict[str, Any], options: SearchOptions) -> dict[str, Any]:
    """Workers of one machine share its cores, unless the recipe says how many threads."""
    from optimize.search.workers import cores

    if options.workers == 1 or content["train"]["threads"]:
        return content
    return {**content, "train": {**content["train"], "threads": max(1, cores() // options.workers)}}


def _refuse_hopeless(search: Search) -> None:
    trials = search.study.get_trials(deepcopy=False)
    failed = [one for one in trials if one.state == TrialState.FAIL]
    first = trials[: max(HOPELESS, search.options.workers)]
    is_none_good = len(failed) == sum(one.state.is_finished() for one in trials)
    if len(first) >= HOPELESS and is_none_good and all(one.state == TrialState.FAIL for one in first):
        raise TrainingError(
            f"the first {len(failed)} trials all failed, the last because of {failed[-1].user_attrs.get('reason')}; "
            f"their folders are in {search.folder / 'trials'}"
        )
