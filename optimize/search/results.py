"""What a search found: ``search.json``, the best trial's bundle, and the report."""

import json
import shutil
import warnings
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
from optuna.importance import FanovaImportanceEvaluator, PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial, TrialState

from optimize.errors import OptimizeError, RunError, TrainingError
from optimize.judging.agreement import top_k_hits
from optimize.search.claims import Claims
from optimize.search.options import Value
from optimize.search.report import write_search_report
from optimize.search.space import configured
from optimize.search.stored_values import from_stored
from optimize.search.trial import Search
from optimize.store_swap import swap_store
from optimize.training.durable import reason, write_whole
from optimize.training.run_folder import RunFolder

if TYPE_CHECKING:
    from optuna.importance import BaseImportanceEvaluator

# With fewer complete trials, no word on which field matters.
MIN_FOR_IMPORTANCE = 4


@dataclass(frozen=True, slots=True)
class TrialResult:
    """One trial.

    Attributes:
        state: "complete", "pruned", "failed" or "running".
        values: of the objectives; of a pruned trial, the last it came to; empty where there is none.
        parameters: what was tried, by dotted path.
        epochs: objective after each epoch that was told.
        reason: why it failed.
    """

    number: int
    state: str
    values: tuple[float, ...]
    parameters: dict[str, Value]
    epochs: dict[int, float]
    reason: str | None


@dataclass(frozen=True, slots=True)
class SearchResult:
    """All of it.

    Attributes:
        objectives: names; the first made large for "val_top1", everything else small.
        best: number of the best complete trial by the first objective; None before there is one.
        front: numbers of the trials that no other beats in both objectives; with one objective, the best.
        test: what the best trial's network says of the test set, where there is one; no trial saw it.
        importances: method → field → share of what makes the first objective vary; empty of too few trials.
    """

    objectives: tuple[str, ...]
    sampler: str
    trials: tuple[TrialResult, ...]
    best: int | None
    front: tuple[int, ...]
    importances: dict[str, dict[str, float]]
    test: dict[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """What ``search.json`` holds; no time of day, so a search that was killed gives the same file."""
        content: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return content

    def trial(self, number: int) -> TrialResult:
        """The trial of that number."""
        return next(one for one in self.trials if one.number == number)


def write_results(search: Search, *, page: bool = True) -> SearchResult:
    """Write what the study holds so far; of several processes that come to an end at once, one after the other.

    Args:
        page: draw ``search.html`` too.
    Raises:
        TrainingError: every trial failed.
        RunError: the disk refused.
    """
    with Claims(search.claims_folder).alone():
        result = read_results(search)
        result = replace(result, test=_tested(search, result.best))
        write_whole(search.folder / "search.json", (json.dumps(result.to_json(), indent=1) + "\n").encode())
        if page:
            write_search_report(search.folder / "search.html", result)
        if result.best is not None:
            publish(search.trial_folder(result.best), search.folder)
    if result.trials and all(one.state == "failed" for one in result.trials):
        raise TrainingError(f"every trial failed, the last because of {result.trials[-1].reason}")
    return result


def write_results_so_far(search: Search, *, page: bool = True) -> None:
    """For a search that ends with an error: ``write_results`` where a trial has ended; what fails here is not told."""
    if any(one.state.is_finished() for one in search.study.get_trials(deepcopy=False)):
        with suppress(OptimizeError):
            write_results(search, page=page)


def _tested(search: Search, best: int | None) -> dict[str, Any] | None:
    """The best trial's accuracy on the test set."""
    if best is None or not _is_over(search):
        return None
    values = {path: from_stored(value) for path, value in search.study.trials[best].params.items()}
    data = search.tools.read(configured(search.content, values))
    if data.test is None or len(data.test.tasks) > 1:
        return None
    network = search.tools.open(search.trial_folder(best))
    answers = search.tools.predict(network.module, data.test, network.spec)
    hits = top_k_hits(answers.logits, answers.labels)
    return {"n": hits.n, "top1": hits.value, "ci95": list(hits.ci95)}


def _is_over(search: Search) -> bool:
    return all(one.state.is_finished() for one in search.study.get_trials(deepcopy=False))


def read_results(search: Search) -> SearchResult:
    """What the study holds so far."""
    trials = search.study.get_trials(deepcopy=False)
    complete = [one for one in trials if one.state == TrialState.COMPLETE]
    sign = -1 if search.options.objective == "val_top1" else 1
    best = min(complete, key=lambda one: (sign * one.values[0], *one.values[1:], one.number), default=None)
    return SearchResult(
        objectives=tuple(filter(None, (search.options.objective, search.options.second))),
        sampler=str(search.options.sampler["name"]),
        trials=tuple(_result(one) for one in trials),
        best=None if best is None else best.number,
        front=tuple(sorted(one.number for one in search.study.best_trials)) if complete else (),
        importances=_importances(search.study, complete),
    )


def publish(trial: Path, folder: Path) -> None:
    """Make ``folder``'s store that of ``trial``; ``swap_store`` says what a kill in that moment leaves.

    Raises:
        RunError: the disk refused; the store is as it was.
    """
    source, making = RunFolder(trial).store, folder / ".store-making"
    if not source.is_dir():
        return
    try:
        if making.exists():
            shutil.rmtree(making)
        shutil.copytree(source, making)
    except OSError as error:
        shutil.rmtree(making, ignore_errors=True)
        raise RunError(f"{RunFolder(folder).store} can't be made from {source}: {reason(error)}") from error
    swap_store(making, RunFolder(folder).store)


def _result(one: FrozenTrial) -> TrialResult:
    states = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}
    return TrialResult(
        number=one.number,
        state=states.get(one.state, "running"),
        values=tuple(one.values or ()),
        parameters={path: from_stored(value) for path, value in one.params.items()},
        epochs=dict(sorted(one.intermediate_values.items())),
        reason=one.user_attrs.get("reason"),
    )


def _importances(study: "optuna.Study", complete: list[FrozenTrial]) -> dict[str, dict[str, float]]:
    """By fANOVA (Hutter et al., 2014) and PED-ANOVA (Watanabe et al., 2023), of the first objective."""
    if len(complete) < MIN_FOR_IMPORTANCE or len({one.values[0] for one in complete}) < 2:
        return {}
    ways = {"fanova": FanovaImportanceEvaluator(seed=0), "ped_anova": PedAnovaImportanceEvaluator()}
    found = {name: _importance(study, way) for name, way in ways.items()}
    return {name: shares for name, shares in found.items() if shares}


def _importance(study: "optuna.Study", way: "BaseImportanceEvaluator") -> dict[str, float]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # fields that were the same in every trial
        try:
            shares = get_param_importances(study, evaluator=way, target=lambda one: one.values[0])
        except (ValueError, RuntimeError):  # no field was tried in enough trials, or none makes a difference
            return {}
    return {path: round(float(share), 6) for path, share in shares.items()}
