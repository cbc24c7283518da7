"""What a run has of its candidates: their bundles, and what they answered; nothing is decided here."""

from functools import cache

from model_zoo.bundle import Bundle
from optimize.candidates.audit import QUANTISES
from optimize.candidates.bench import Bench
from optimize.candidates.chains import Chains, Steps
from optimize.candidates.flips import Flips, flips
from optimize.candidates.judged import answers, answers_of
from optimize.candidates.recipe import PARENT, CandidateEntry
from optimize.data.dataset import Dataset
from optimize.errors import PassError, RecipeError
from optimize.judging.graph_model import GraphModel
from optimize.judging.predictions import Predictions
from optimize.passes.sensitivity import sqnr
from optimize.training.run_folder import RunFolder

# Pictures that layers' errors are measured on.
PICTURES = 32


class Made:
    """Of one run, by candidates' names."""

    def __init__(self, bench: Bench, chains: Chains) -> None:
        self._bench, self._chains = bench, chains
        self._entries = {entry.name: entry for entry in bench.recipe.candidate}
        self._parent_answers = cache(lambda split: self._asked(PARENT, bench.parent, split))

    def add(self, entry: CandidateEntry) -> None:
        """A candidate that the recipe does not name."""
        self._entries[entry.name] = entry

    def steps(self, name: str) -> Steps:
        """From the parent to a candidate."""
        return () if name == PARENT else self._entries[name].steps

    def bundle(self, name: str) -> Bundle:
        """A made candidate's, as its steps left it.

        Raises:
            RecipeError: it is not there.
        """
        return self.after(self.steps(name))

    def after(self, steps: Steps) -> Bundle:
        """What steps have made.

        Raises:
            RecipeError: it is not there.
        """
        found = self._chains.made(steps)
        if found is None:
            raise RecipeError(f"what comes of {', '.join(step.name for step in steps)} is not there")
        return found

    def changed(self, name: str) -> Flips:
        """What a made candidate answers otherwise than its parent, of the choosing pictures."""
        return flips(self.answers(name, "val"), self._parent_answers("val"), self.dataset("val"))

    def answers(self, name: str, split: str) -> Predictions:
        """What a made candidate, or the parent, says of "train", "val" or "guard"."""
        return self.answers_after(self.steps(name), split)

    def answers_after(self, steps: Steps, split: str) -> Predictions:
        """What that says which steps have made, the parent where there are none; see ``answers``."""
        if not steps:
            return self._parent_answers(split)
        return self._asked(self._chains.key(steps), self.after(steps), split)

    def stages(self, name: str) -> list[Bundle]:
        """The bundles from the parent to a made candidate, one after each step."""
        steps = self.steps(name)
        found = (self._chains.made(steps[:end]) for end in range(len(steps) + 1))
        return [one for one in found if one is not None]

    def layers(self, name: str) -> list[tuple[str, float]]:
        """What is left of each layer's signal, in dB; nothing where quantising is not the last step."""
        steps = self.steps(name)
        before = self._chains.made(steps[:-1])
        if steps[-1].name != QUANTISES or before is None:
            return []
        pictures = self._bench.calibration(before.spec.input)[:PICTURES]
        try:
            return sqnr(before.read_model(), self.bundle(name).read_model(), pictures)
        except PassError:  # no layer goes by one name in both: the report does without
            return []

    def dataset(self, split: str) -> Dataset:
        """Pictures of "train", "val" (by which candidates are chosen) or "guard"."""
        data = self._bench.data
        return {"train": data.train, "val": data.val, "guard": self._bench.guard}[split]

    def twin_answers(self, name: str, graph: bytes) -> Predictions:
        """What a made candidate's ``graph`` for TensorRT says of the guard's pictures, as it is meant."""
        path = RunFolder(self._bench.folder).predictions(f"{self._chains.key(self.steps(name))}-guard-twin")
        return answers_of(lambda: GraphModel(self.bundle(name), graph), self.dataset("guard"), path)

    def _asked(self, key: str, bundle: Bundle, split: str) -> Predictions:
        path = RunFolder(self._bench.folder).predictions(f"{key}-{split}")
        return answers(bundle, self.dataset(split), path, self._bench.recipe.measure.backend)
