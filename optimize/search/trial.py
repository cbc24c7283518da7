"""One trial: a training of its own in a folder of its own, told to Optuna epoch by epoch.

A trial whose process was killed still counts as running. Whoever comes next takes
it up: Optuna remembers its values, the folder has its last checkpoint, and training
tells of the epochs before it again.
"""

import csv
import json
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optuna import Trial, TrialPruned
from optuna.exceptions import OptunaError
from optuna.trial import TrialState

from model_zoo.errors import ModelZooError
from optimize.errors import OptimizeError, RunError
from optimize.search.costs import cost_of
from optimize.search.options import SearchOptions, Value
from optimize.search.space import configured
from optimize.search.suggestion import suggest
from optimize.training.compound_run import Tools, require_same_data, without_test
from optimize.training.run_folder import RunFolder
from server.backends.errors import BackendError

if TYPE_CHECKING:
    from optuna.study import Study

    from optimize.data.read import Data
    from optimize.training.finished import EpochRow, Finished
    from optimize.training.recipe import Recipe

# A trial that ends its process as often without a further epoch (memory, a fault in a driver) is given up.
MAX_STARTS = 3

# What a combination of settings may fail by while others do well: Quickeye's own errors, and those of torch.
FAILURES = (OptimizeError, ModelZooError, BackendError, RuntimeError, ValueError, MemoryError)


@dataclass(frozen=True, slots=True)
class Search:
    """What a process that searches knows.

    Attributes:
        content: the recipe of one trial, before the trial's values are set.
        data: read once; None where the space reaches into how it is read.
    """

    folder: Path
    options: SearchOptions
    content: dict[str, Any]
    study: "Study"
    tools: Tools
    data: "Data | None"

    def trial_folder(self, number: int) -> Path:
        """Where that trial's run is."""
        return self.folder / "trials" / f"{number:04}"

    @property
    def claims_folder(self) -> Path:
        """Where processes say what they work on; see ``Claims``."""
        return self.folder / "trials" / ".claims"


def run_trial(search: Search, trial: Trial) -> None:
    """Train with the trial's values and tell Optuna what came of it; an interruption leaves it to be continued."""
    is_hopeless = _count_start(search, trial)
    try:
        tried = suggest(trial, search.options)
        recipe = configured(search.content, tried)
        if is_hopeless:
            raise RuntimeError(f"it ended its process {MAX_STARTS} times without a further epoch")
        finished = _train(search, trial, recipe, tried)
        values = _values(search.options, recipe, finished)
    except TrialPruned:
        search.study.tell(trial, state=TrialState.PRUNED)
        search.tools.say(f"trial {trial.number}: ended early, {_so_far(search, trial)}")
    except (RunError, KeyboardInterrupt):  # the disk or a person, not the settings: the trial waits
        _forget_start(trial)
        raise
    except FAILURES as error:
        trial.set_user_attr("reason", f"{type(error).__name__}: {error}")
        search.study.tell(trial, state=TrialState.FAIL)
        search.tools.say(f"trial {trial.number}: failed: {error}")
    else:
        search.study.tell(trial, values)
        search.tools.say(f"trial {trial.number}: {_words(search.options, values)}")
    shutil.rmtree(RunFolder(search.trial_folder(trial.number)).checkpoints, ignore_errors=True)


def changes_data(path: str) -> bool:
    """Whether another value of this field may give other pictures, labels or splits."""
    return path.split(".")[0] in ("data", "seed")


def _train(search: Search, trial: Trial, recipe: "Recipe", tried: dict[str, Value]) -> "Finished":
    folder = search.trial_folder(trial.number)
    data = search.data
    if data is None:
        data = search.tools.read(recipe)
        values = {path: value for path, value in tried.items() if changes_data(path)}
        require_same_data(search.folder, data, name=f"data with {json.dumps(values, sort_keys=True)}")
    return search.tools.train(recipe, folder, data=without_test(data), watch=_Watch(search, trial))


class _Watch:
    """Tells Optuna of each epoch, and ends the training where Optuna says so."""

    def __init__(self, search: Search, trial: Trial) -> None:
        self._trial = trial
        self._objective = search.options.objective
        self._prunes = search.options.second is None
        self._told = set(_reported(search, trial))

    def __call__(self, row: "EpochRow") -> None:
        value: float | None = getattr(row, self._objective)
        if value is None or not self._prunes:
            return
        if row.epoch not in self._told:
            self._told.add(row.epoch)
            self._trial.report(value, row.epoch)
        if self._trial.should_prune():
            raise TrialPruned


def _values(options: SearchOptions, recipe: "Recipe", finished: "Finished") -> list[float]:
    values = [finished.val_top1 if options.objective == "val_top1" else _final_loss(recipe, finished)]
    if options.second is not None:
        if finished.bundle is None:
            raise RuntimeError("the training exported no bundle, so its cost can't be measured")
        values.append(cost_of(finished.bundle, options.second))
    return values


def _final_loss(recipe: "Recipe", finished: "Finished") -> float:
    """Of the weights that are exported."""
    losses = {row.epoch: row.val_loss for row in finished.rows if row.val_loss is not None}
    if not losses:
        raise RuntimeError("no epoch was validated, so there is no validation loss")
    return losses[finished.best_epoch] if recipe.train.keep == "best" else losses[max(losses)]


def _reported(search: Search, trial: Trial) -> dict[int, float]:
    values: dict[int, float] = search.study._storage.get_trial(trial._trial_id).intermediate_values
    return values


def _count_start(search: Search, trial: Trial) -> bool:
    """Note at which epoch this start begins; whether there were too many at the same."""
    done = _epochs_done(RunFolder(search.trial_folder(trial.number)))
    starts = [*trial.user_attrs.get("starts", []), done]
    trial.set_user_attr("starts", starts)
    return starts.count(done) > MAX_STARTS


def _forget_start(trial: Trial) -> None:
    """The start that was noted last ended by itself, not with its process."""
    with suppress(OptunaError, OSError):  # a full disk does not take this either
        trial.set_user_attr("starts", trial.user_attrs["starts"][:-1])


def _epochs_done(folder: RunFolder) -> int:
    if not folder.metrics.exists():
        return 0
    with folder.metrics.open(newline="", encoding="utf-8") as file:
        return sum(1 for _ in csv.DictReader(file))


def _so_far(search: Search, trial: Trial) -> str:
    reported = _reported(search, trial)
    last = max(reported)
    return f"{search.options.objective} {reported[last]:.4f} after epoch {last}"


def _words(options: SearchOptions, values: list[float]) -> str:
    named = [f"{options.objective} {values[0]:.4f}"]
    return ", ".join([*named, *(f"{options.second} {value:.4g}" for value in values[1:])])
