"""Candidates' chains of steps: each step made once, whoever begins with it, and found again after a kill.

A step is known by what it was made of: the parent, the data, the seed, and every step up to it
with its settings. Its folder below ``steps/`` is called so. What is in there whole is taken
as it is; a training run that was interrupted goes on.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from model_zoo.bundle import Bundle
from optimize.candidates.bench import Bench
from optimize.candidates.graph_step import apply_pass
from optimize.errors import CheckpointError, RunError
from optimize.passes import PassConfig
from optimize.training.bundle_at import bundle_at
from optimize.training.durable import reason
from optimize.training.recipe_entries import Entry

Steps = Sequence[Entry[Any]]
# In a step's folder: a line for each thing that it tells.
NOTES = "notes.txt"


class Chains:
    """The steps of one run."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        recipe = bench.recipe
        said = {
            "parent": hashlib.sha256(bench.parent.read_model()).hexdigest(),
            "data": bench.data.report.fingerprint,
            "seed": recipe.seed,
            "calibration": recipe.to_content()["calibration"],
            "finetune": recipe.finetune,
        }
        self._root = _digest(said)

    def key(self, steps: Steps) -> str:
        """What the last of ``steps`` is known by: 16 hexadecimal digits."""
        key = self._root
        for step in steps:
            key = _digest([key, step.to_content(weighted=False)])
        return key[:16]

    def made(self, steps: Steps) -> Bundle | None:
        """The bundle after ``steps``, if it is there."""
        if not steps:
            return self._bench.parent
        try:
            return bundle_at(self._place(steps))
        except CheckpointError:
            return None

    def notes(self, steps: Steps) -> tuple[str, ...]:
        """What steps that decide by measuring have written down of it."""
        places = (self._place(steps[:end]) / NOTES for end in range(1, len(steps) + 1))
        return tuple(line for path in places if path.exists() for line in path.read_text(encoding="utf-8").splitlines())

    def make_next(self, steps: Steps) -> Bundle:
        """The bundle after ``steps``, of the one before, which is there.

        Raises:
            OptimizeError, ModelZooError: the step failed.
        """
        before = self.made(steps[:-1])
        if before is None:
            raise CheckpointError(f"the steps before {steps[-1].name} are not there any more; run the command again")
        folder, last = self._place(steps), steps[-1]
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if isinstance(last.choice, PassConfig):
                return apply_pass(last.name, last.choice, before, self._bench, folder)
            made: Bundle = last.choice.make(before, self._bench, folder)
        except OSError as error:  # temporary files' too
            raise RunError(f"{folder}: {last.name} can't go on: {reason(error)}") from error
        return made

    def _place(self, steps: Steps) -> Path:
        folder = self._bench.folder / "steps" / f"{self.key(steps)}-{steps[-1].name}"
        run = folder / "run"
        return run if (run / "store").is_dir() else folder


def _digest(said: object) -> str:
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
