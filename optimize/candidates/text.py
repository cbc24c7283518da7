"""What a person is told on the terminal: of each candidate, and when a run has ended."""

from pathlib import Path

from optimize.candidates.card import twin_words
from optimize.candidates.judged import drop_words
from optimize.candidates.publish import bundle_name
from optimize.candidates.recipe import OptimizeRecipe
from optimize.candidates.result import Candidate, Result
from optimize.training.run_folder import RunFolder


def as_text(result: Result, recipe: OptimizeRecipe, folder: Path) -> str:
    """A table of what was made, the verdict on the best, and how to serve it."""
    head = f"{'':14} {'faster':>7} {'MB':>7} {'right':>7} {'lost':>7}"
    rows = [_row(one) for one in result.candidates]
    run = RunFolder(folder)
    return "\n".join([head, *rows, "", *_ending(result, recipe, run)])


def as_line(one: Candidate) -> str:
    """A candidate when it is there, or what became of it."""
    if one.speed is None or one.val is None:
        return f"{one.name}: {one.state}: {one.reason}"
    return (
        f"{one.name}: {one.speed.faster:.2f}× as fast, {one.bytes / 1e6:.2f} MB, {drop_words(one.val.drop)} "
        f"on {one.val.n:,} pictures"
    )


def _row(one: Candidate) -> str:
    mark = "*" if one.is_on_front else " "
    if one.speed is None or one.val is None:
        return f"{mark}{one.name:13} {one.state}: {one.reason}"
    return (
        f"{mark}{one.name:13} {one.faster:6.2f}× {one.bytes / 1e6:7.2f} {100 * one.val.top1:7.2f} {one.val.drop:7.2f}"
    )


def _ending(result: Result, recipe: OptimizeRecipe, run: RunFolder) -> list[str]:
    lines = ["* worth having: clearly faster or smaller than whatever is more often right"]
    chosen = result.best or result.closest
    if chosen is None:
        states = {each.state for each in result.candidates[1:]}
        why = "time ended; the same command goes on" if "waiting" in states else "the reasons are above"
        if states == {"made"}:
            why = "each is neither clearly faster nor smaller, or is less accurate than one that is"
        return [*lines, f"no candidate is worth having beside the model: {why}", f"report   {run.report}"]
    one = result.candidate(chosen)
    model = bundle_name(recipe, one, is_best=result.best is not None)
    said = one.verdict.says if one.verdict else ""
    if one.threshold is not None:
        said = f"{said} Its answers are {one.threshold.says}."
    elif one.no_threshold:
        said = f"{said} No answer of it is unknown: {one.no_threshold}."
    if one.twin is not None:
        lines.append(twin_words(one.twin))
    if result.best is None:
        lines.append(f"no candidate keeps the budget; {one.name} comes closest: {said}")
    else:
        lines.append(f"{one.name} is the fastest within the budget: {said}")
    return [
        *lines,
        f"report   {run.report}",
        f"serve    quickeye serve --store {run.store} --model {model}",
    ]
