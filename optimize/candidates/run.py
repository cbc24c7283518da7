"""A run of ``quickeye optimize``, from the parent to the front; ``docs/optimize.md`` tells it to users.

Candidates are made in the recipe's order, each step once. Every candidate answers the choosing
pictures and is timed beside its parent; those worth having are the front, which answers
the guard's pictures. All figures are journaled as they come, so a run that was killed
goes on and comes to the same decisions.
"""

from collections.abc import Callable
from dataclasses import asdict, replace
from functools import cache
from typing import Any

from model_zoo.bundle import Bundle
from model_zoo.errors import ModelZooError, UnknownArchitectureError, WeightsError
from optimize.candidates.audit import QUANTISES, audit
from optimize.candidates.bench import Bench
from optimize.candidates.chains import Chains, Steps
from optimize.candidates.flips import Flips, flips
from optimize.candidates.front import front
from optimize.candidates.journal import Facts, Journal
from optimize.candidates.judged import answers, drop_words, paired, verdict
from optimize.candidates.recipe import PARENT, CandidateEntry
from optimize.candidates.result import Candidate, Paired, Result, Verdict
from optimize.candidates.speed import Speed, measure_speed
from optimize.data.dataset import Dataset
from optimize.errors import OptimizeError, PassError, RecipeError, RunError, TrainingError
from optimize.judging.judged_model import BundleModel
from optimize.judging.predictions import Predictions
from optimize.passes import PassConfig
from optimize.passes.sensitivity import sqnr
from optimize.training.run_folder import RunFolder
from server.backends.errors import BackendError

# What ends a candidate and not the run; of these, what would be the same whenever it is tried.
_ENDS_ONE = (OptimizeError, ModelZooError, BackendError)
_FOR_GOOD = (PassError, RecipeError, TrainingError, UnknownArchitectureError, WeightsError)
# A candidate that loses so many points more than it may, for sure, is not built upon by passes alone.
HOPELESS = 5.0
# Pictures that layers' errors are measured on.
PICTURES = 32


class Run:
    """One; ``result`` does everything."""

    def __init__(self, bench: Bench, *, has_time: Callable[[], bool] = lambda: True) -> None:
        """
        Args:
            has_time: asked before each step.
        """
        self._bench = bench
        self._chains = Chains(bench)
        self._journal = Journal(bench.folder)
        self._has_time = has_time
        self._parent_answers = cache(lambda split: self._answers(PARENT, bench.parent, split))

    def result(self) -> Result:
        """Make, measure and judge what is missing.

        Raises:
            RunError: the disk refused.
            DataError: the pictures can't be answered.
        """
        recipe = self._bench.recipe
        found = [self._parent()]
        for entry in recipe.candidate:
            one = self._candidate(entry, found)
            self._bench.say(_line(one))
            found.append(one)
        made = [one for one in found if one.state == "made"]
        on_front = {made[place].name for place in front(made)}
        found = [self._guarded(one) if one.name in on_front and one.name != PARENT else one for one in found]
        found = [replace(one, is_on_front=one.name in on_front) for one in found]
        judged = [one for one in found if one.verdict is not None]
        passing = [one for one in judged if one.verdict and one.verdict.passes]
        best = max(passing, key=lambda one: one.faster, default=None)
        closest = min(judged, key=lambda one: one.verdict.paired.drop if one.verdict else 0.0, default=None)
        return Result(
            name=recipe.name,
            parent=f"{self._bench.parent.spec.name}/{self._bench.parent.spec.version}",
            labelled=recipe.labelled,
            budget=recipe.budget.max_drop,
            strict=recipe.budget.strict,
            pictures={split: len(self._dataset(split)) for split in ("train", "val", "guard")},
            best=best.name if best else None,
            closest=None if best or closest is None else closest.name,
            candidates=tuple(found),
        )

    def bundle(self, name: str) -> Bundle:
        """A made candidate's, as its steps left it.

        Raises:
            RecipeError: it is not there.
        """
        found = self._chains.made(self._steps(name))
        if found is None:
            raise RecipeError(f"candidate {name!r} is not there")
        return found

    def changed(self, name: str) -> Flips:
        """What a made candidate answers otherwise than its parent, of the choosing pictures."""
        mine = self._answers(self._chains.key(self._steps(name)), self.bundle(name), "val")
        return flips(mine, self._parent_answers("val"), self._dataset("val"))

    def layers(self, name: str) -> list[tuple[str, float]]:
        """What is left of each layer's signal, in dB; nothing where quantising is not the last step."""
        steps = self._steps(name)
        before = self._chains.made(steps[:-1])
        if steps[-1].name != QUANTISES or before is None:
            return []
        pictures = self._bench.calibration(before.spec.input)[:PICTURES]
        try:
            return sqnr(before.read_model(), self.bundle(name).read_model(), pictures)
        except PassError:  # no layer goes by one name in both: the report does without
            return []

    def _steps(self, name: str) -> Steps:
        if name == PARENT:
            return ()
        return next(one.steps for one in self._bench.recipe.candidate if one.name == name)

    def _dataset(self, split: str) -> Dataset:
        data = self._bench.data
        return {"train": data.train, "val": data.val, "guard": self._bench.guard}[split]

    def _answers(self, key: str, bundle: Bundle, split: str) -> Predictions:
        path = RunFolder(self._bench.folder).predictions(f"{key}-{split}")
        return answers(bundle, self._dataset(split), path, self._bench.recipe.measure.backend)

    def _parent(self) -> Candidate:
        return self._figures(PARENT, (), self._bench.parent)

    def _candidate(self, entry: CandidateEntry, before: list[Candidate]) -> Candidate:
        said = tuple(step.to_content(weighted=False) for step in entry.steps)
        known = self._journal.known(f"ended {entry.name}")
        if known is not None:
            return Candidate(name=entry.name, steps=said, state=known["state"], reason=known["reason"])
        if self._journal.known(f"speed {entry.name}") is None and (reason := self._hopeless(entry, before)):
            return Candidate(name=entry.name, steps=said, state="dropped", reason=reason)
        try:
            bundle = self._made(entry)
            if bundle is None:
                return Candidate(name=entry.name, steps=said, state="waiting", reason="time ended before it")
            return self._figures(entry.name, entry.steps, bundle)
        except RunError:
            raise  # the disk's, or another process in a step's folder
        except _ENDS_ONE as error:
            reason = str(error)
            if isinstance(error, _FOR_GOOD) or type(error) is ModelZooError:
                self._journal.once(f"ended {entry.name}", lambda: {"state": "failed", "reason": reason})
            return Candidate(name=entry.name, steps=said, state="failed", reason=reason)

    def _made(self, entry: CandidateEntry) -> Bundle | None:
        """The candidate's bundle; None where time ended before it was there."""
        bundle: Bundle | None = None
        for end in range(1, len(entry.steps) + 1):
            steps = entry.steps[:end]
            bundle = self._chains.made(steps)
            if bundle is None:
                if not self._has_time():
                    return None
                self._bench.say(f"{entry.name}: {steps[-1].name} …")
                bundle = self._chains.make_next(steps)
        return bundle

    def _hopeless(self, entry: CandidateEntry, before: list[Candidate]) -> str:
        """Why nothing good can come of it: a candidate that it begins with has lost too much."""
        limit = self._bench.recipe.budget.max_drop + HOPELESS
        for one in before:
            steps = self._steps(one.name)
            rest = entry.steps[len(steps) :]
            begins = bool(steps) and self._chains.key(entry.steps[: len(steps)]) == self._chains.key(steps)
            if begins and one.val and one.val.ci95[0] > limit and all(isinstance(r.choice, PassConfig) for r in rest):
                return f"it begins as {one.name} does, which loses {one.val.drop:.1f} points"
        return ""

    def _figures(self, name: str, steps: Steps, bundle: Bundle) -> Candidate:
        key = self._chains.key(steps)
        spec, model = bundle.spec.input, bundle.read_model()
        work = self._journal.once(f"work {name}", lambda: audit(model, steps))
        facts = self._journal.once(f"val {name}", lambda: asdict(self._paired(key, bundle, "val")))
        speed = self._journal.once(f"speed {name}", lambda: asdict(self._speed(bundle)))
        return Candidate(
            name=name,
            steps=tuple(step.to_content(weighted=False) for step in steps),
            state="made",
            height=spec.height,
            width=spec.width,
            bytes=len(model),
            macs=work["macs"],
            in_integers=work["in_integers"],
            val=_paired_of(facts),
            speed=Speed(**speed),
        )

    def _paired(self, key: str, bundle: Bundle, split: str) -> Paired:
        parent = self._parent_answers(split)
        mine = parent if bundle is self._bench.parent else self._answers(key, bundle, split)
        return paired(mine, parent, seed=self._bench.recipe.seed)

    def _speed(self, bundle: Bundle) -> Speed:
        options = self._bench.recipe.measure
        models = [BundleModel(one, options.backend, threads=options.threads) for one in (bundle, self._bench.parent)]
        try:
            return measure_speed(models[0], models[1], options)
        finally:
            for model in models:
                model.close()

    def _guarded(self, one: Candidate) -> Candidate:
        steps = self._steps(one.name)
        bundle = self.bundle(one.name)
        facts = self._journal.once(
            f"guard {one.name}", lambda: asdict(self._paired(self._chains.key(steps), bundle, "guard"))
        )
        found: Verdict = verdict(_paired_of(facts), self._bench.recipe.budget)
        return replace(one, verdict=found)


def _paired_of(facts: Facts) -> Paired:
    """JSON knows lists alone."""
    plain: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in facts.items()}
    return Paired(**plain)


def _line(one: Candidate) -> str:
    if one.speed is None or one.val is None:
        return f"{one.name}: {one.state}: {one.reason}"
    return (
        f"{one.name}: {one.speed.faster:.2f}× as fast, {one.bytes / 1e6:.2f} MB, {drop_words(one.val.drop)} "
        f"on {one.val.n:,} pictures"
    )
