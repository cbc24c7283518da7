"""A run of ``quickeye optimize``, from the parent to the front; ``docs/optimize.md`` tells it to users.

Candidates are made in the recipe's order, each step once, then what might save those that lose too much in INT8
(``rescues.py``), then those that a search proposes. Every candidate
answers the choosing pictures and is timed beside its parent; those worth having are the front, which answers
the guard's pictures. All figures are journaled as they come, so a run that was killed
goes on and comes to the same decisions.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace

from model_zoo.bundle import Bundle
from model_zoo.errors import ModelZooError, UnknownArchitectureError, WeightsError
from optimize.candidates.audit import audit
from optimize.candidates.bench import Bench
from optimize.candidates.chains import Chains, Steps
from optimize.candidates.front import front
from optimize.candidates.hopeless import why_hopeless
from optimize.candidates.journal import Journal
from optimize.candidates.judged import paired, verdict
from optimize.candidates.made import Made
from optimize.candidates.recipe import PARENT, CandidateEntry
from optimize.candidates.rescues import Rescues
from optimize.candidates.result import Candidate, Paired, Result, Verdict
from optimize.candidates.speed import Speed, measure_speed
from optimize.candidates.text import as_line
from optimize.errors import OptimizeError, PassError, RecipeError, RunError, TrainingError
from optimize.judging.judged_model import BundleModel
from server.backends.errors import BackendError

# What ends a candidate and not the run; of these, what would be the same whenever it is tried.
_ENDS_ONE = (OptimizeError, ModelZooError, BackendError)
_FOR_GOOD = (PassError, RecipeError, TrainingError, UnknownArchitectureError, WeightsError)
ADDED = "added to the recipe after the guard's pictures had judged others"


class Run:
    """One; ``result`` does everything, ``made`` has what came of it."""

    def __init__(self, bench: Bench, *, has_time: Callable[[], bool] = lambda: True) -> None:
        """
        Args:
            has_time: asked before each step.
        """
        self._bench = bench
        self._chains = Chains(bench)
        self._journal = Journal(bench.folder)
        self._has_time = has_time
        self._named = {entry.name for entry in bench.recipe.candidate}
        self.made = Made(bench, self._chains)

    def result(self) -> Result:
        """Make, measure and judge what is missing.

        Raises:
            RunError: the disk refused.
            DataError: the pictures can't be answered.
        """
        recipe = self._bench.recipe
        found = [self._parent()]
        for entry in recipe.candidate:
            self._add(entry, found)
        named = tuple(found)
        if recipe.rescue:
            self._rescue(found)
        if recipe.search.candidates:
            self._search(found, named)
        made = [one for one in found if one.state == "made"]
        on_front = {made[place].name for place in front(made, parent=0)}
        found = self._with_added(found)
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
            pictures={split: len(self.made.dataset(split)) for split in ("train", "val", "guard")},
            best=best.name if best else None,
            closest=None if best or closest is None else closest.name,
            candidates=tuple(found),
        )

    def _add(self, entry: CandidateEntry, found: list[Candidate], because: str = "") -> Candidate:
        self.made.add(entry)
        one = replace(self._candidate(entry, found), because=because)
        self._bench.say(as_line(one))
        found.append(one)
        return one

    def _rescue(self, found: list[Candidate]) -> None:
        """Try otherwise what loses too much in INT8, until it keeps the budget, nothing is left, or time ends."""
        rescues = Rescues(self._bench, self.made, self._journal)
        for entry in self._bench.recipe.candidate:
            while (rescue := rescues.next(entry, found)) is not None:
                self._bench.say(f"{rescue.entry.name}: {rescue.because}")
                self._add(rescue.entry, found, rescue.because)

    def _search(self, found: list[Candidate], named: Sequence[Candidate]) -> None:
        """Propose, make and learn, until there are enough, nothing is new, or time ends.

        What is learnt from before is ``named`` by the recipe: which rescues there are hangs on the budget, which may
        change, and what was proposed may not.
        """
        from optimize.candidates.plan import search_space
        from optimize.candidates.proposals import Proposals

        recipe = self._bench.recipe
        space = recipe.search.space or search_space(self._bench.parent, recipe.candidate)
        proposals = Proposals(space, self._journal, recipe.seed)
        for one in named[1:]:
            proposals.learn(self.made.steps(one.name), one)
        for _ in range(recipe.search.candidates):
            if any(one.state == "waiting" for one in found) or (entry := proposals.next()) is None:
                break
            proposals.learn(entry.steps, self._add(entry, found))
        for fault in proposals.refused:
            self._bench.say(f"search: some of search.space can't be made: {fault}")

    def _with_added(self, found: list[Candidate]) -> list[Candidate]:
        """Those that the recipe did not name when the guard was first asked, which may have led to them, say so."""
        first = self._journal.once("named when the guard was asked", lambda: {"names": sorted(self._named)})["names"]
        added = self._named - set(first)
        return [replace(one, because=ADDED) if one.name in added else one for one in found]

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
        budget, is_named = self._bench.recipe.budget.max_drop, entry.name in self._named
        return why_hopeless(entry, before, self.made, budget=budget, is_named=is_named)

    def _figures(self, name: str, steps: Steps, bundle: Bundle) -> Candidate:
        spec, model = bundle.spec.input, bundle.read_model()
        work = self._journal.once(f"work {name}", lambda: audit(model, steps))
        facts = self._journal.once(f"val {name}", lambda: asdict(self._paired(name, "val")))
        speed = self._journal.once(f"speed {name}", lambda: asdict(self._speed(bundle)))
        return Candidate(
            name=name,
            steps=tuple(step.to_content(weighted=False) for step in steps),
            state="made",
            notes=self._chains.notes(steps),
            height=spec.height,
            width=spec.width,
            bytes=len(model),
            macs=work["macs"],
            in_integers=work["in_integers"],
            zeros=work.get("zeros", 0.0),  # a journal of before has none
            val=Paired.of(facts),
            speed=Speed(**speed),
        )

    def _paired(self, name: str, split: str) -> Paired:
        mine, parent = (self.made.answers(one, split) for one in (name, PARENT))
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
        facts = self._journal.once(f"guard {one.name}", lambda: asdict(self._paired(one.name, "guard")))
        found: Verdict = verdict(Paired.of(facts), self._bench.recipe.budget)
        return replace(one, verdict=found)
