"""Which of the front's 8-bit candidates keep their graph for TensorRT (``passes/symmetric_twin``).

A twin must give the answers of the check that its bundle is published with, which is of the other graph, as engines
prove themselves by it; and the guard judges it beside the parent as it judges the candidate. No engine here runs it:
what it means is judged.
"""

from dataclasses import replace

from model_zoo.check import CheckSet, CheckVerdict, compare
from optimize.candidates.bench import Bench
from optimize.candidates.judged import paired, verdict
from optimize.candidates.made import Made
from optimize.candidates.publish import check_of
from optimize.candidates.recipe import PARENT
from optimize.candidates.result import Candidate, Result, Twin
from optimize.judging.arithmetic import open_model


def with_twins(result: Result, made: Made, bench: Bench) -> Result:
    """The result, with what became of each twin on the front.

    Raises:
        RecipeError, MissingPhotosError: photos of ``publish.check`` can't be had.
        DataError: not one picture of the guard can be decoded.
    """

    def of(one: Candidate) -> Candidate:
        if not one.is_on_front or one.name == PARENT or (graph := made.bundle(one.name).read_twin()) is None:
            return one
        return replace(one, twin=_judged(one.name, graph, made, bench, is_best=one.name == result.best))

    return replace(result, candidates=tuple(map(of, result.candidates)))


def check_twin(graph: bytes, check: CheckSet) -> CheckVerdict:
    """Whether a graph means what the check says."""
    return compare(check, [open_model(graph, "reference", output=name)(check.pictures) for name in check.outputs])


def _judged(name: str, graph: bytes, made: Made, bench: Bench, *, is_best: bool) -> Twin:
    checked = check_twin(graph, check_of(bench, made.bundle(name), is_best=is_best))
    if not checked.passed:
        return Twin(is_kept=False, says=f"does not give the answers of the check: {checked.detail}")
    both = paired(made.twin_answers(name, graph), made.answers(PARENT, "guard"), seed=bench.recipe.seed)
    found = verdict(both, bench.recipe.budget)
    return Twin(is_kept=found.passes, says=found.says, paired=both)
