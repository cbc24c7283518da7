"""``CARD.md`` of a candidate: what the run knows of it, or a page of the recipe's whose places the run fills.

Places are words in braces: ``{name}``, ``{version}``, ``{megabytes}`` (of model.onnx), ``{calibration}`` (pictures that
passes were shown), ``{accuracy}`` (rows of a table with three columns: pictures, question, answer), ``{speed}`` and
``{guard}`` (sentences).
"""

import re
from collections.abc import Iterable

from model_zoo.bundle import Bundle
from model_zoo.manifest import Accuracy
from model_zoo.tables import counted
from optimize.candidates.recipe import OptimizeRecipe
from optimize.candidates.result import Candidate, Paired, Twin
from optimize.candidates.speed import Speed
from optimize.candidates.steps import STEPS
from optimize.choice import nearest
from optimize.errors import RecipeError
from optimize.judging.unknown_section import with_section

PLACES = ("name", "version", "megabytes", "calibration", "accuracy", "speed", "guard")

# Of fewer weights that are 0, nobody put them there: 8-bit codes round small ones to it.
ZEROS = 0.1

_PLACE = re.compile(r"\{([a-z_0-9]+)\}")
_QUESTIONS = {
    "top1": "first class is the label",
    "top5": "label among the first five",
    "top1_agreement": "same first class as the parent",
    "twin_top1": "the same of `model.s8.onnx`, for TensorRT",
    "twin_top1_agreement": "`model.s8.onnx`, for TensorRT: same first class as the parent",
    "top1_agreement_where_sure": "the same, where the parent gives its first class one half or more",
}


def own_card(name: str, recipe: OptimizeRecipe, parent: Bundle, candidate: Candidate) -> str:
    """The page where the recipe gives none."""
    rows = [
        f"# {name}",
        "",
        f"Made by `quickeye optimize` from {parent.spec.name}/{parent.spec.version}: "
        f"{', then '.join(step_words(step) for step in candidate.steps)}.",
        "",
        f"- Input: {candidate.height} × {candidate.width} px; `model.onnx` {candidate.bytes / 1e6:.2f} MB, "
        f"{candidate.macs / 1e6:.1f} million multiply-adds a picture.",
    ]
    if candidate.because:
        rows.append(f"- Why it was tried: {candidate.because}.")
    if candidate.zeros >= ZEROS:
        rows.append(f"- {100 * candidate.zeros:.0f} % of the weights are 0, which brings no speed on this engine.")
    if candidate.speed is not None:
        rows.append(f"- Speed on {_speed(candidate.speed)}")
    if candidate.val is not None:
        rows.append(f"- On the pictures that chose it: {paired_words(candidate.val, labelled=recipe.labelled)}.")
    if candidate.verdict is not None:
        rows.append(f"- Guard: {candidate.verdict.says}")
    if candidate.twin is not None:
        rows.append(f"- {twin_words(candidate.twin)}")
    rows += ["", f"Licence: {parent.spec.licence}. Source: {parent.spec.source}.", ""]
    return with_threshold("\n".join(rows), candidate)


def twin_words(twin: Twin) -> str:
    """What became of the graph for TensorRT."""
    return f"`model.s8.onnx`, for TensorRT, {'' if twin.is_kept else 'is left out: it '}{twin.says}"


def filled(
    page: str, candidate: Candidate, accuracy: Iterable[Accuracy], *, name: str, version: int, calibration: int
) -> str:
    """A page of the recipe's with its places filled.

    Args:
        accuracy: rows of its table.
        calibration: how many pictures passes were shown.
    """
    values = {
        "name": name,
        "version": str(version),
        "megabytes": f"{candidate.bytes / 1e6:.1f}",
        "calibration": str(calibration),
        "accuracy": "\n".join(_row(one) for one in accuracy),
        "speed": f"On {_speed(candidate.speed)}" if candidate.speed else "",
        "guard": candidate.verdict.says if candidate.verdict else "",
    }
    return with_threshold(_PLACE.sub(lambda found: values[found[1]], page), candidate)


def require_known_places(page: str) -> None:
    """See that every word in braces is one that is filled.

    Raises:
        RecipeError: another; the message names the nearest.
    """
    for name in _PLACE.findall(page):
        if name not in PLACES:
            raise RecipeError(f"publish.card: nothing fills {{{name}}}{nearest(name, PLACES)}")


def with_threshold(card: str, candidate: Candidate) -> str:
    """The card, with the section on "unknown" where the candidate holds a score for it."""
    return card if candidate.threshold is None else with_section(card, candidate.threshold.says)


def _speed(speed: Speed) -> str:
    """What follows "on": device, engine, threads, and the figures."""
    return (
        f"{speed.device}, {speed.backend}, {counted(speed.threads, 'thread')}: {speed.p50_ms:.2f} ms a "
        f"picture, {speed.faster:.2f} times the parent's speed (± {speed.spread:.2f}); "
        f"{speed.images_per_s:.0f} images/s in batches of {speed.batch}."
    )


def _row(one: Accuracy) -> str:
    low, high = (100 * end for end in one.ci95 or (0.0, 1.0))
    photos = f"{one.n:,} of {one.dataset} ({one.split})"
    hits = f"({round(one.value * one.n):,} of {one.n:,})"
    answer = f"**{100 * one.value:.1f} %** {hits}; 95 % interval {low:.1f} % to {high:.1f} %"
    aside = f"; {one.reference}" if one.reference and one.metric in ("top1", "top5") else ""
    return f"| {photos} | {_QUESTIONS.get(one.metric, one.metric)} | {answer}{aside} |"


def step_words(step: dict[str, object]) -> str:
    """``prune (macs 0.5)``: what is as usual is left out."""
    usual = STEPS.find(str(step["name"])).model_fields
    settings = [
        f"{key} {_value_words(value)}"
        for key, value in step.items()
        if key in usual
        and value is not None
        and (
            usual[key].is_required()
            or _value_words(value) != _value_words(usual[key].get_default(call_default_factory=True))
        )
    ]
    return f"{step['name']} ({', '.join(settings)})" if settings else str(step["name"])


def _value_words(value: object) -> str:
    """An entry of a table by its name, as a recipe may say it, and what else it holds."""
    if isinstance(value, dict) and "name" in value:
        return " ".join([str(value["name"]), *(f"{key} {one}" for key, one in value.items() if key != "name")])
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def paired_words(one: Paired, *, labelled: bool) -> str:
    """Its accuracy beside the parent's, in words."""
    if not labelled:
        return f"{100 * one.same_answer:.1f} % of {one.n:,} answers are the parent's"
    return (
        f"{100 * one.top1:.2f} % of {one.n:,} right, the parent {100 * one.parent_top1:.2f} %; "
        f"{100 * one.same_answer:.1f} % of the answers are the parent's"
    )
