"""Optuna's study in a file or a database, opened so that several processes may share it."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import optuna
from optuna.distributions import BaseDistribution
from optuna.exceptions import OptunaError
from optuna.samplers import BaseSampler, GridSampler
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from optimize.errors import RunError
from optimize.search.options import SearchOptions

if TYPE_CHECKING:
    from optuna.study import Study

# How long a process waits for another that writes to the same SQLite file.
_SQLITE_PATIENCE_S = 60
JOURNAL = "journal:"


class PerTrial(BaseSampler):
    """Makes the sampler anew for each trial, with a seed of that trial's own (``samplers.py`` says why)."""

    def __init__(self, options: SearchOptions, seed: int) -> None:
        self._options = options
        self._seed = seed
        self._inner: BaseSampler = self._build(0)

    def _build(self, trial: int) -> BaseSampler:
        return self._options.sampler_choice().build(self._seed, trial, self._options.space)

    def before_trial(self, study: "Study", trial: FrozenTrial) -> None:
        """Optuna calls this first for every trial."""
        self._inner = self._build(trial.number)
        self._inner.before_trial(study, trial)

    def infer_relative_search_space(self, study: "Study", trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """The fields that are drawn together."""
        return self._inner.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: "Study", trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Draw those."""
        return self._inner.sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: "Study", trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> object:
        """Draw one of the others."""
        return self._inner.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(
        self, study: "Study", trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        """Let the sampler note what came out; the grid's would stop a loop that is not Optuna's here."""
        if not isinstance(self._inner, GridSampler):
            self._inner.after_trial(study, trial, state, values)


def open_study(options: SearchOptions, folder: Path, name: str, *, seed: int, epochs: int) -> "Study":
    """The study of this run: begun, or as it was left.

    Args:
        folder: the run's; holds the storage unless the recipe names another.
        name: of the study; no other run's, so that searches on one database keep apart.
        epochs: of a trial, for the pruner.
    Raises:
        RunError: the storage can't be opened, or the run has trials of which it knows nothing.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    first: Literal["maximize", "minimize"] = "maximize" if options.objective == "val_top1" else "minimize"
    has_trials = (folder / "trials" / "0000").exists()
    place = options.storage or _default_storage(options, folder)
    storage = _storage(place)
    if has_trials and name not in optuna.get_all_study_names(storage):
        raise RunError(
            f"{folder / 'trials'} holds trials, and search.storage = {place!r} knows nothing of them (no study "
            f"{name!r}). Give the storage that the search was begun with, or choose another folder with --out"
        )
    return optuna.create_study(
        study_name=name,
        storage=storage,
        directions=[first] if options.second is None else [first, "minimize"],
        sampler=PerTrial(options, seed),
        pruner=options.pruner_choice().build(epochs),
        load_if_exists=True,
    )


def _storage(place: str) -> BaseStorage:
    try:
        if place.startswith(JOURNAL):
            return JournalStorage(JournalFileBackend(place.removeprefix(JOURNAL)))
        arguments: dict[str, Any] = {"timeout": _SQLITE_PATIENCE_S} if place.startswith("sqlite") else {}
        return RDBStorage(place, engine_kwargs={"connect_args": arguments})
    except ImportError as error:
        raise RunError(f"search.storage = {place!r}: its driver is not installed: {error}") from error
    except (SQLAlchemyError, OptunaError, OSError, ValueError) as error:
        raise RunError(f"search.storage = {place!r} can't be opened: {error}") from error


def _default_storage(options: SearchOptions, folder: Path) -> str:
    """SQLite for one process, a journal for several: its writers wait for each other shorter."""
    journal, database = folder / "search.journal", folder / "search.db"
    if journal.exists() or (options.workers > 1 and not database.exists()):
        return f"{JOURNAL}{journal}"
    return f"sqlite:///{database}"
