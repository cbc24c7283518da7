"""A run's end on disk: the front's bundles, ``result.json``, the report."""

import json
from dataclasses import replace

import numpy as np

from optimize.candidates.bench import Bench
from optimize.candidates.evidence import gather_evidence
from optimize.candidates.publish import publish
from optimize.candidates.recipe import PARENT, OptimizeRecipe
from optimize.candidates.report import write_optimize_report
from optimize.candidates.result import Candidate, Result
from optimize.candidates.run import Run
from optimize.candidates.twins import with_twins
from optimize.data.dataset import UNLABELLED
from optimize.errors import DataError
from optimize.judging.abstain import choose
from optimize.training.durable import write_whole


def write_all(run: Run, bench: Bench) -> Result:
    """Finish the run and write everything; the result, with the bundles' places in it.

    Raises:
        RunError, BundleError: the disk refused.
        OptimizeError: what ``[publish]`` names can't be read, or judged by.
    """
    result = with_twins(_with_thresholds(run.result(), run, bench.recipe), run.made, bench)
    front = [(one, run.made.bundle(one.name)) for one in result.candidates if one.is_on_front and one.name != PARENT]
    places = publish(bench, front, result.best)
    named = tuple(replace(one, bundle=places.get(one.name)) for one in result.candidates)
    result = replace(result, candidates=named)
    content = json.dumps(result.to_json(), indent=1, ensure_ascii=False)
    write_whole(bench.folder / "result.json", f"{content}\n".encode())
    shown = result.best or result.closest
    write_optimize_report(bench, result, None if shown is None else gather_evidence(run, bench, shown))
    return result


def _with_thresholds(result: Result, run: Run, recipe: OptimizeRecipe) -> Result:
    """Every candidate of the front with its score for "unknown", where the recipe asks for one."""
    if recipe.abstain is None:
        return result
    wanted = recipe.abstain.wanted

    def of(one: Candidate) -> Candidate:
        if not one.is_on_front or one.name == PARENT:
            return one
        answers = run.made.answers(one.name, "guard")
        if not recipe.labelled:  # the parent's answers stand there, and nobody knows whether these are right
            answers = replace(answers, labels=np.full_like(answers.labels, UNLABELLED))
        try:
            activation = run.made.bundle(one.name).spec.outputs[0].activation
            return replace(one, threshold=choose(answers, activation, wanted, seed=recipe.seed))
        except DataError as error:
            return replace(one, no_threshold=str(error))

    return replace(result, candidates=tuple(map(of, result.candidates)))
